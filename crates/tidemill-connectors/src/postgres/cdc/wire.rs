//! A connection in replication mode: start, TLS, password, statements, and the two-way stream of changes.
//! Source: PostgreSQL 15, chapter 55, "Frontend/Backend Protocol" and "Streaming Replication Protocol".
//!
//! The client library of the sink cannot open such connections; messages and passwords are its protocol crate's.

use super::super::errors::{Failure, refusal};
use super::super::link::connector;
use super::super::options::Target;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use std::io;
use tidemill_core::retry::Class;
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Kind};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect as _};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How values are written, in the stream and in the copy of the table alike.
pub(super) const NOTATION: &[(&str, &str)] = &[
    ("datestyle", "ISO"),
    ("intervalstyle", "iso_8601"),
    ("timezone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
];

/// A longer message than the server's largest value is none.
const FRAME_BYTES_MAX: usize = 2 << 30;

/// What TCP or TLS carries.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A row of texts, as simple statements give it.
pub(super) type TextRow = Vec<Option<String>>;

/// A connection in replication mode.
pub(super) struct Wire {
    transport: Box<dyn Transport>,
    input: BytesMut,
}

/// A message of the server.
#[derive(Debug)]
struct Frame {
    tag: u8,
    body: Bytes,
}

/// What comes once changes flow.
#[derive(Debug)]
pub(super) enum Piece {
    /// A message of the plugin.
    Data(Bytes),
    /// Everything up to this position has been sent.
    Alive {
        /// The position.
        end: u64,
        /// The server wants to hear how far we are.
        wants_reply: bool,
    },
}

impl Wire {
    /// Connects to the server among those of `target` that takes writes.
    ///
    /// # Errors
    /// What the last of them says.
    pub(super) async fn open(target: &Target, name: &str) -> Result<Self, Failure> {
        let tls = if target.tls { Some(connector(target.authority.as_deref())?) } else { None };
        let what = format!("connecting to Postgres at {} for replication", target.shown());
        let mut last = None;
        for (host, port) in &target.nodes {
            let attempt = async {
                let mut wire = Wire::connect(host, *port, tls.clone(), &what).await?;
                wire.sign_in(target, name, &what).await?;
                let rows = wire.query("SELECT pg_is_in_recovery()").await?;
                let standby = matches!(rows.first().and_then(|row| row.first()), Some(Some(text)) if text == "t");
                if standby {
                    let error = Error::new(Kind::Again, format!("{what} failed: {host}:{port} is a standby"));
                    let help = "name all servers in 'url', the writable one is chosen";
                    return Err(Failure::new(Class::Transient, error.help(help)));
                }
                Ok(wire)
            };
            match tokio::time::timeout(target.connect_timeout, attempt).await {
                Ok(Ok(wire)) => return Ok(wire),
                Ok(Err(failed)) => last = Some(failed),
                Err(_) => {
                    let error = Error::new(Kind::Again, format!("{what}: no answer within 'connect_timeout'"));
                    last = Some(Failure::new(Class::Transient, error));
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::bug("no server is named").into()))
    }

    async fn connect(host: &str, port: u16, tls: Option<MakeRustlsConnect>, what: &str) -> Result<Self, Failure> {
        let mut socket = TcpStream::connect((host, port)).await.map_err(|cause| lost(what, cause))?;
        socket.set_nodelay(true).map_err(|cause| lost(what, cause))?;
        let Some(mut tls) = tls else {
            return Ok(Wire { transport: Box::new(socket), input: BytesMut::new() });
        };
        let mut out = BytesMut::new();
        frontend::ssl_request(&mut out);
        socket.write_all(&out).await.map_err(|cause| lost(what, cause))?;
        if socket.read_u8().await.map_err(|cause| lost(what, cause))? != b'S' {
            let error = Error::invalid(format!("{what} failed: the server offers no TLS"));
            return Err(error.help("over a network you trust, set sslmode = 'disable'").into());
        }
        let tls = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host);
        let tls = tls.map_err(|cause| Error::invalid(format!("{what}: '{host}' is no name")).caused_by(cause))?;
        match tls.connect(socket).await {
            Ok(stream) => Ok(Wire { transport: Box::new(stream), input: BytesMut::new() }),
            Err(cause) if cause.to_string().contains("certificate") => {
                let help = "option 'sslrootcert' names the certificate authority; the name in 'url' must be in the \
                            certificate";
                Err(Error::new(Kind::Denied, format!("{what} failed")).help(help).caused_by(cause).into())
            }
            Err(cause) => Err(lost(what, cause)),
        }
    }

    /// Says who we are, and waits until the server takes statements.
    async fn sign_in(&mut self, target: &Target, name: &str, what: &str) -> Result<(), Failure> {
        let settings: Vec<String> = NOTATION.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
        let settings = settings.join(" ");
        let parameters = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
            ("replication", "database"),
            ("application_name", name),
            ("client_encoding", "UTF8"),
            ("options", settings.as_str()),
        ];
        let failed = |cause| lost(what, cause);
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out).map_err(failed)?;
        self.send(&out).await.map_err(failed)?;
        let mut scram = None;
        loop {
            let frame = self.frame().await.map_err(failed)?;
            match frame.tag {
                b'R' => self.answer(frame.body, target, &mut scram, what).await?,
                b'E' => return Err(told(what, &frame.body)),
                b'Z' => return Ok(()),
                // parameters, key of the session, notices
                _ => {}
            }
        }
    }

    /// Answers a question for the password.
    async fn answer(
        &mut self,
        mut body: Bytes,
        target: &Target,
        scram: &mut Option<sasl::ScramSha256>,
        what: &str,
    ) -> Result<(), Failure> {
        let failed = |cause| lost(what, cause);
        let denied = |why: String| -> Failure {
            let error = Error::new(Kind::Denied, format!("{what} failed: {why}"));
            error.help("check options 'user' and 'password', and the server's pg_hba.conf").into()
        };
        let kind = body.try_get_u32().map_err(|_| cut_off(what))?;
        let password = || {
            let known = target.password.as_ref().map(Secret::reveal);
            known.ok_or_else(|| denied("the server asks for a password".into()))
        };
        let mut out = BytesMut::new();
        match kind {
            0 => return Ok(()),
            3 => frontend::password_message(password()?.as_bytes(), &mut out).map_err(failed)?,
            5 => {
                let salt: [u8; 4] = body.as_ref().try_into().map_err(|_| cut_off(what))?;
                let hash = md5_hash(target.user.as_bytes(), password()?.as_bytes(), salt);
                frontend::password_message(hash.as_bytes(), &mut out).map_err(failed)?;
            }
            10 => {
                if !body.split(|byte| *byte == 0).any(|name| name == sasl::SCRAM_SHA_256.as_bytes()) {
                    return Err(denied("the server offers no SCRAM-SHA-256".into()));
                }
                let begun = sasl::ScramSha256::new(password()?.as_bytes(), sasl::ChannelBinding::unsupported());
                frontend::sasl_initial_response(sasl::SCRAM_SHA_256, begun.message(), &mut out).map_err(failed)?;
                *scram = Some(begun);
            }
            11 | 12 => {
                let Some(scram) = scram else { return Err(cut_off(what)) };
                let step = if kind == 11 { scram.update(&body) } else { scram.finish(&body) };
                step.map_err(|cause| denied(format!("SCRAM: {cause}")))?;
                if kind == 12 {
                    return Ok(());
                }
                frontend::sasl_response(scram.message(), &mut out).map_err(failed)?;
            }
            other => return Err(denied(format!("the server asks for authentication of kind {other}"))),
        }
        self.send(&out).await.map_err(failed)
    }

    /// Runs a statement of SQL or of replication; the rows it gives.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn query(&mut self, statement: &str) -> Result<Vec<TextRow>, Failure> {
        let what = statement.split('(').next().unwrap_or(statement).trim().to_owned();
        let failed = |cause| lost(&what, cause);
        let mut out = BytesMut::new();
        frontend::query(statement, &mut out).map_err(failed)?;
        self.send(&out).await.map_err(failed)?;
        let (mut rows, mut refused) = (Vec::new(), None);
        loop {
            let frame = self.frame().await.map_err(failed)?;
            match frame.tag {
                b'D' => rows.push(row(frame.body).ok_or_else(|| cut_off(&what))?),
                b'E' => refused = Some(told(&what, &frame.body)),
                b'Z' => return refused.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// Begins the stream.
    ///
    /// # Errors
    /// What the server refuses: a slot that is in use, gone or invalid, a publication that is not there.
    pub(super) async fn start(&mut self, statement: &str) -> Result<(), Failure> {
        let what = "starting replication";
        let failed = |cause| lost(what, cause);
        let mut out = BytesMut::new();
        frontend::query(statement, &mut out).map_err(failed)?;
        self.send(&out).await.map_err(failed)?;
        loop {
            let frame = self.frame().await.map_err(failed)?;
            match frame.tag {
                // CopyBothResponse
                b'W' => return Ok(()),
                b'E' => return Err(told(what, &frame.body)),
                _ => {}
            }
        }
    }

    /// The next piece of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection or the stream has ended.
    pub(super) async fn piece(&mut self) -> Result<Piece, Failure> {
        let what = "reading changes";
        loop {
            let mut frame = self.frame().await.map_err(|cause| lost(what, cause))?;
            match frame.tag {
                b'd' => {}
                b'E' => return Err(told(what, &frame.body)),
                b'c' | b'C' | b'Z' => {
                    let error = Error::new(Kind::Again, "the server ended the stream of changes");
                    return Err(Failure::new(Class::Transient, error));
                }
                _ => continue,
            }
            let body = &mut frame.body;
            match body.try_get_u8().map_err(|_| cut_off(what))? {
                b'w' if body.len() >= 24 => {
                    body.advance(24);
                    return Ok(Piece::Data(frame.body));
                }
                b'k' if body.len() >= 17 => {
                    let end = body.get_u64();
                    body.advance(8);
                    return Ok(Piece::Alive { end, wants_reply: body.get_u8() == 1 });
                }
                _ => return Err(cut_off(what)),
            }
        }
    }

    /// Says how far changes were received and how far they are durable; `ping` asks for an answer.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn report(&mut self, received: u64, durable: u64, now: i64, ping: bool) -> Result<(), Failure> {
        let mut out = BytesMut::with_capacity(39);
        out.put_u8(b'd');
        out.put_u32(38);
        out.put_u8(b'r');
        out.put_u64(received.max(durable));
        out.put_u64(durable);
        out.put_u64(durable);
        out.put_i64(now - super::POSTGRES_EPOCH_MICROS);
        out.put_u8(u8::from(ping));
        self.send(&out).await.map_err(|cause| lost("reporting the position", cause))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.write_all(bytes).await?;
        self.transport.flush().await
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if self.input.len() >= 5 {
                let length = u32::from_be_bytes([self.input[1], self.input[2], self.input[3], self.input[4]]) as usize;
                if !(4..FRAME_BYTES_MAX).contains(&length) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of no possible length"));
                }
                if self.input.len() > length {
                    let mut frame = self.input.split_to(length + 1).freeze();
                    let tag = frame.get_u8();
                    frame.advance(4);
                    return Ok(Frame { tag, body: frame });
                }
                self.input.reserve(length + 1 - self.input.len());
            }
            if self.transport.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The texts of a data row.
fn row(mut body: Bytes) -> Option<TextRow> {
    let columns = body.try_get_u16().ok()?;
    let mut row = Vec::with_capacity(usize::from(columns));
    for _ in 0..columns {
        let length = body.try_get_i32().ok()?;
        row.push(match usize::try_from(length) {
            Ok(length) if body.len() >= length => Some(String::from_utf8(body.split_to(length).to_vec()).ok()?),
            Ok(_) => return None,
            Err(_) => None,
        });
    }
    Some(row)
}

/// An error message: its fields are a letter and a text each.
fn told(what: &str, body: &[u8]) -> Failure {
    let field = |letter: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&letter))?;
        Some(String::from_utf8_lossy(&found[1..]).into_owned())
    };
    let (code, message) = (field(b'C').unwrap_or_default(), field(b'M').unwrap_or_default());
    refusal(what, &code, Some((&message, None)))
}

fn lost(what: &str, cause: io::Error) -> Failure {
    Failure::new(Class::Ambiguous, Error::new(Kind::Again, format!("{what} failed")).caused_by(cause))
}

fn cut_off(what: &str) -> Failure {
    Error::bug(format!("{what}: a message of the server cannot be read")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_are_classed_by_their_code() {
        let gone = told("x", b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0");
        assert_eq!((gone.class, gone.error.kind()), (Class::Ambiguous, Kind::Again));
        let denied = told("x", b"SFATAL\0C28P01\0Mpassword authentication failed for user \"cdc\"\0\0");
        assert_eq!((denied.class, denied.error.kind()), (Class::Permanent, Kind::Denied));
        assert!(denied.error.to_string().contains("password authentication failed"));
    }

    #[test]
    fn rows_of_statements_are_texts() {
        let body = Bytes::from_static(b"\0\x02\0\0\0\x01t\xff\xff\xff\xff");
        assert_eq!(row(body).unwrap(), [Some("t".to_owned()), None]);
        assert!(row(Bytes::from_static(b"\0\x01\0\0\0\x09t")).is_none());
    }
}
