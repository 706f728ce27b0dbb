//! Where to listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tidemill_core::{Error, Kind, Result};
use tokio::net::TcpListener;

/// The port that is taken unless the user names one.
const PORT: u16 = 4040;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    host: String,
    port: u16,
    /// Another port is as good.
    any_port: bool,
}

impl Default for Listen {
    /// Port 4040 of this machine alone, or a free one when that is taken.
    fn default() -> Self {
        Listen { host: Ipv4Addr::LOCALHOST.to_string(), port: PORT, any_port: true }
    }
}

impl Listen {
    /// Exactly this address: `HOST:PORT`, where the host is an IP address or a name of this machine. Port 0
    /// takes a free one.
    ///
    /// # Errors
    /// Text that is no address ([`Kind::Usage`]).
    pub fn at(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(Kind::Usage, format!("'{text}' is no address to listen on"))
                .help("write it as 127.0.0.1:4040; port 0 takes a free one")
        };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let named = !host.is_empty() && host.chars().all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one));
        if host.parse::<IpAddr>().is_err() && !named {
            return Err(wrong());
        }
        Ok(Listen { host: host.to_owned(), port, any_port: false })
    }

    /// The name by which clients may call us, when the host is a name.
    pub(super) fn name(&self) -> Option<String> {
        self.host.parse::<IpAddr>().is_err().then(|| self.host.to_ascii_lowercase())
    }

    /// Takes the address. The default one falls back to a free port.
    pub(super) async fn bind(&self) -> Result<(TcpListener, Option<String>)> {
        match TcpListener::bind((self.host.as_str(), self.port)).await {
            Ok(listener) => Ok((listener, None)),
            Err(error) if self.any_port && error.kind() == std::io::ErrorKind::AddrInUse => {
                let free = TcpListener::bind((self.host.as_str(), 0)).await.map_err(|error| self.failed(error))?;
                Ok((free, Some(format!("port {} is taken", self.port))))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let help = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has this port: choose another one, or port 0 for a free one, or 'off' for no page"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 are for root: choose a higher one",
            _ => "the host must be an address or a name of this machine, such as 127.0.0.1 or 0.0.0.0",
        };
        Error::io(format!("cannot listen on {}", self.shown()), error).help(help)
    }

    fn shown(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).to_string(),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, host, port) in [
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:4040", "::1", 4040),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("my-host.example:9", "my-host.example", 9),
        ] {
            let listen = Listen::at(text).unwrap();
            assert_eq!((listen.host.as_str(), listen.port, listen.any_port), (host, port, false));
        }
        for text in ["", "4040", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", ":4040", "a b:1", "http://a:1"] {
            let error = Listen::at(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
        }
        assert_eq!(Listen::at("Tidemill:1").unwrap().name().as_deref(), Some("tidemill"));
        assert_eq!(Listen::at("10.0.0.1:1").unwrap().name(), None);
    }
}
