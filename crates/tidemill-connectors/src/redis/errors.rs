//! What a refusal of Redis means for the query: try again for a while, or stop and tell whom it concerns.

use super::link::Target;
use redis::RedisError;
use tidemill_core::{Error, Kind};

/// What is known about one answer of the server.
struct Known {
    /// The word the answer begins with.
    code: &'static str,
    kind: Kind,
    /// True when the same request may succeed soon.
    passing: bool,
    says: &'static str,
    help: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        code: "OOM",
        kind: Kind::Again,
        passing: true,
        says: "is out of memory: it holds 'maxmemory' bytes and may not evict keys",
        help: "raise 'maxmemory', set a TTL, or remove keys; the query goes on where it stopped",
    },
    Known {
        code: "READONLY",
        kind: Kind::Again,
        passing: true,
        says: "is a replica, which takes no writes",
        help: "name the master, or option 'sentinel_master' to have it found after a failover",
    },
    Known { code: "LOADING", kind: Kind::Again, passing: true, says: "is still loading its data", help: "" },
    Known {
        code: "CLUSTERDOWN",
        kind: Kind::Again,
        passing: true,
        says: "belongs to a cluster in which not every slot has a master",
        help: "see CLUSTER NODES; the query goes on where it stopped",
    },
    Known { code: "MASTERDOWN", kind: Kind::Again, passing: true, says: "has lost its master", help: "" },
    Known { code: "TRYAGAIN", kind: Kind::Again, passing: true, says: "is moving the slot to another node", help: "" },
    Known {
        code: "BUSY",
        kind: Kind::Again,
        passing: true,
        says: "is busy with a script that does not end",
        help: "SCRIPT KILL ends it",
    },
    Known {
        code: "MISCONF",
        kind: Kind::Again,
        passing: true,
        says: "cannot save to its disk and takes no writes until it can",
        help: "look into the server's log: its disk is full or read-only",
    },
    Known {
        code: "NOREPLICAS",
        kind: Kind::Again,
        passing: true,
        says: "has fewer replicas than 'min-replicas-to-write'",
        help: "",
    },
    Known {
        code: "NOAUTH",
        kind: Kind::Denied,
        passing: false,
        says: "wants a password",
        help: "set option 'password'",
    },
    Known {
        code: "WRONGPASS",
        kind: Kind::Denied,
        passing: false,
        says: "does not know this user and password",
        help: "see options 'username' and 'password'",
    },
    Known {
        code: "NOPERM",
        kind: Kind::Denied,
        passing: false,
        says: "does not allow this user the commands or keys",
        help: "the user needs EVALSHA, SCRIPT LOAD, HGETALL and the commands of the shape, on the keys and on tidemill:*",
    },
];

/// `MOVED`, to a client that knows of no cluster.
const NO_CLUSTER: Known = Known {
    code: "MOVED",
    kind: Kind::Invalid,
    passing: false,
    says: "is a node of a cluster that does not hold these keys",
    help: "set option 'cluster' to 'true'",
};

/// `MOVED`, again and again, to a client of the cluster: it asked another node because the right one is away.
const NODE_AWAY: Known = Known {
    code: "MOVED",
    kind: Kind::Again,
    passing: true,
    says: "belongs to a cluster in which the node that holds these keys does not answer",
    help: "see CLUSTER NODES; the query goes on where it stopped",
};

/// True when the same request may succeed soon: the connection broke, or the server said so.
pub(crate) fn is_passing(target: &Target, error: &RedisError) -> bool {
    use redis::ErrorKind::{ClusterConnectionNotFound, Io, MasterNameNotFoundBySentinel};
    match known(target, error) {
        Some(known) => known.passing,
        None => {
            error.is_timeout() || matches!(error.kind(), Io | ClusterConnectionNotFound | MasterNameNotFoundBySentinel)
        }
    }
}

/// The error of a query whose request to `target` ended in `error`.
pub(crate) fn explain(target: &Target, doing: &str, error: RedisError) -> Error {
    let server = target.shown();
    if let Some(known) = known(target, &error) {
        let told = Error::new(known.kind, format!("cannot {doing}: Redis at {server} {}", known.says));
        let told = if known.help.is_empty() { told } else { told.help(known.help) };
        return told.caused_by(error);
    }
    let kind = match error.kind() {
        redis::ErrorKind::AuthenticationFailed => Kind::Denied,
        redis::ErrorKind::InvalidClientConfig => Kind::Invalid,
        _ => Kind::Again,
    };
    Error::new(kind, format!("cannot {doing}: Redis at {server} failed")).caused_by(error)
}

fn known(target: &Target, error: &RedisError) -> Option<&'static Known> {
    if error.code() == Some("MOVED") {
        return Some(if target.is_cluster() { &NODE_AWAY } else { &NO_CLUSTER });
    }
    let text = error.to_string();
    KNOWN.iter().find(|known| {
        // Redis 6 tells what a command in a script met inside its own error: "... -OOM command not allowed"
        error.code() == Some(known.code) || text.contains(&format!("-{} ", known.code)) || text.starts_with(known.code)
    })
}
