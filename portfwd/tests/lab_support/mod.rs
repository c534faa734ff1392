//! A lab with web servers behind it, and the `portfwd` command in it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;
use xtask::lab::{Host, Lab, Process, WebServer, wait_until};

/// The command under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_portfwd");
/// Bound of every wait.
pub const SOON: Duration = Duration::from_secs(10);
/// The plain rule: A:81 goes on to B:80.
pub const RULE: &str = "192.168.1.34:81/tcp=192.168.1.32:80";

/// A lab whose B and B2 serve a page on port 80: each says its own name.
pub struct Site {
    pub lab: Lab,
    _servers: [WebServer; 2],
}

impl Site {
    pub fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let serve = |host: &Host| {
            let root = lab.dir().join(format!("www-{}", host.name()));
            std::fs::create_dir(&root)?;
            std::fs::write(root.join("index.html"), host.name())?;
            lab.web_server(host, 80, &root)
        };
        let servers = [serve(lab.b())?, serve(lab.b2())?];
        Ok(Self {
            lab,
            _servers: servers,
        })
    }

    /// Runs `portfwd` on A to its end.
    pub fn portfwd(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = self.lab.portfwd(BINARY);
        command.args(arguments);
        Outcome::of(command)
    }

    /// What `portfwd` writes to stdout where it succeeds.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.portfwd(arguments)?;
        ensure!(outcome.code == 0, "{arguments:?}: {outcome:?}");
        Ok(outcome.stdout)
    }

    /// The JSON document that `portfwd` writes, of schema 1.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ok(arguments)?;
        let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(value["schema"] == 1, "{text}");
        Ok(value)
    }

    /// Starts `portfwd run -i eth0` with more arguments, and waits until it forwards.
    pub fn run(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.lab.portfwd(BINARY);
        command.args(["run", "-i", "eth0"]).args(arguments);
        let process = self.lab.a().spawn(command)?;
        process.wait_for_line("ready", SOON)?;
        Ok(process)
    }

    /// Writes a config file into the lab's folder.
    pub fn config(&self, text: &str) -> Result<String> {
        let path = self.lab.dir().join("portfwd.toml");
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// The page that the client gets from a port of A; an error where it gets none.
    pub fn get(&self, port: u16) -> Result<String> {
        let url = format!("http://192.168.1.34:{port}/");
        let curl = ["-sS", "--max-time", "10", &url];
        self.lab.client().run("curl", curl)
    }

    /// Where this lab's instances pin.
    pub fn pin_dir(&self) -> PathBuf {
        self.lab.bpffs().join("portfwd")
    }

    /// Fails unless A is as it was before any `portfwd`: no pin, no XDP program, no TC program.
    /// The kernel detaches in the background once the last pin is gone, hence the bound.
    pub fn nothing_left(&self) -> Result<()> {
        let mut left = String::new();
        let waited = wait_until("a clean interface", SOON, || {
            left = self.left().unwrap_or_else(|error| format!("{error:#}"));
            left.is_empty()
        });
        waited.with_context(|| format!("left: {left}"))
    }

    /// What is on A's interface and in the pin folder now.
    fn left(&self) -> Result<String> {
        let mut left = String::new();
        if let Ok(pins) = std::fs::read_dir(self.pin_dir()) {
            for pin in pins {
                left += &format!("pin {} ", pin?.path().display());
            }
        }
        let link = self.lab.a().run("ip", ["-d", "link", "show", "eth0"])?;
        if link.contains("xdp") {
            left += &link;
        }
        let query = || SchedClassifier::query_tcx("eth0", TcAttachType::Ingress);
        let (_, programs) = self.lab.a().enter(query)?;
        for program in programs {
            left += &format!("TC program {:?}", program.name_as_str());
        }
        Ok(left)
    }

    /// A TCP connection of the client through a port of A to `host`, which accepts it on
    /// `target_port`.
    pub fn connect(&self, port: u16, host: &Host, target_port: u16) -> Result<Connection> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, target_port));
        let listener = host.enter(|| TcpListener::bind(any))?;
        let a = SocketAddr::from((self.lab.a().address(), port));
        let client = self
            .lab
            .client()
            .enter(|| TcpStream::connect_timeout(&a, SOON))?;
        listener.set_nonblocking(true)?;
        let mut accepted = None;
        wait_until("the connection to arrive", SOON, || {
            accepted = listener.accept().ok();
            accepted.is_some()
        })?;
        let (server, _) = accepted.context("it has arrived")?;
        server.set_nonblocking(false)?;
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(SOON))?;
        }
        Ok(Connection { client, server })
    }
}

/// Both ends of a connection through A.
pub struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// The client's end, as the client knows it.
    pub fn client_address(&self) -> Result<SocketAddr> {
        Ok(self.client.local_addr()?)
    }

    /// The client's end, as the target sees it.
    pub fn seen_by_the_target(&self) -> Result<SocketAddr> {
        Ok(self.server.peer_addr()?)
    }

    /// Sends a word each way; an error where one does not arrive.
    pub fn talk(&mut self) -> Result<()> {
        pass(&mut self.client, &mut self.server).context("toward the target")?;
        pass(&mut self.server, &mut self.client).context("toward the client")
    }
}

fn pass(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    let mut word = [0; 5];
    from.write_all(b"hello")?;
    to.read_exact(&mut word)?;
    ensure!(&word == b"hello", "{word:?}");
    Ok(())
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Runs `command` to its end.
    pub fn of(mut command: Command) -> Result<Self> {
        let output = command.output().context("cannot start portfwd")?;
        let signal = output.status.signal().unwrap_or_default();
        Ok(Self {
            code: output.status.code().unwrap_or(-signal),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Fails unless this is a refusal: the exit code, nothing on stdout, and one line on stderr
    /// that says each of `words`.
    pub fn refuses(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == code, "exit code {code} expected: {self:?}");
        ensure!(self.stdout.is_empty(), "nothing on stdout: {self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        ensure!(
            matches!(lines[..], [line] if line.starts_with("error: ")),
            "one line that starts with `error: ` expected: {self:?}"
        );
        for word in words {
            ensure!(self.stderr.contains(word), "`{word}` expected: {self:?}");
        }
        Ok(())
    }
}
