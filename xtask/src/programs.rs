//! The programs that the lab runs, and which Debian package each comes from.

use std::path::PathBuf;

/// A program that has to be installed, and where Debian has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name that is looked for in `PATH`.
    pub name: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// Everything that the lab, the demo and the tests start.
///
/// mini_httpd is the web server: its package starts no service, it forks per connection with a
/// deep listen queue (busybox's takes a minute for 200 clients at once), and logs its peers.
pub const LAB: &[Program] = &[
    Program {
        name: "ip",
        package: "iproute2",
    },
    Program {
        name: "ethtool",
        package: "ethtool",
    },
    Program {
        name: "mini_httpd",
        package: "mini-httpd",
    },
    Program {
        name: "curl",
        package: "curl",
    },
    Program {
        name: "ping",
        package: "iputils-ping",
    },
    Program {
        name: "sysctl",
        package: "procps",
    },
    Program {
        name: "tcpdump",
        package: "tcpdump",
    },
];

/// The programs of `wanted` that are not installed.
pub fn missing(wanted: &[Program]) -> Vec<Program> {
    wanted
        .iter()
        .copied()
        .filter(|program| find(program.name).is_none())
        .collect()
}

/// Where `name` is installed, if it is.
pub fn find(name: &str) -> Option<PathBuf> {
    which::which_in(name, Some(search_path()), "/").ok()
}

/// `PATH`, and the folders for administrators that a plain `su` leaves out of it.
pub fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
