//! What the demo does, and what it expects of every step.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::lab::{Host, Lab, Process, Signal, WebServer, wait_until};

use super::story::Story;

const BOUND: Duration = Duration::from_secs(20);
const RULES: [&str; 2] = [
    "192.168.1.34:81/tcp=192.168.1.32:80",
    "192.168.1.34:82/tcp=10.0.0.5:80",
];

/// The whole demo, from a lab that has just been built to one where portfwd has been and gone.
pub fn tell(story: &mut Story, lab: &Lab, binary: &Path) -> Result<()> {
    network(story, lab)?;
    let (b, b2) = web_servers(story, lab)?;
    refused(story, lab)?;
    let portfwd = start(story, lab, binary)?;
    fetch(story, lab)?;
    shown(story, lab, binary)?;
    seen_by_targets(story, lab, &b, &b2)?;
    stop(story, lab, &portfwd)
}

fn network(story: &mut Story, lab: &Lab) -> Result<()> {
    story.step("A network of namespaces on this machine, joined by a bridge");
    let place = |host: &Host, what: &str| {
        story.note(&format!(
            "{:<7} {:<14} {what}",
            host.name(),
            host.address().to_string()
        ));
    };
    place(lab.client(), "wants a web page");
    place(lab.a(), "one NIC, eth0; this is where portfwd runs");
    place(lab.b(), "a web server in A's own subnet");
    place(lab.router(), "also 10.0.0.1, the gateway to B2");
    place(lab.b2(), "a web server behind the router");
    story.note("A does not forward packets by itself, and stays like that:");
    let command = arguments(lab.a().command("cat"), &["/proc/sys/net/ipv4/ip_forward"]);
    let value = story.succeed(lab.a(), command)?;
    ensure!(value.trim() == "0", "ip_forward is {}, not 0", value.trim());
    Ok(())
}

fn web_servers(story: &mut Story, lab: &Lab) -> Result<(WebServer, WebServer)> {
    story.step("A web server on B and one on B2, each with a page of its own");
    let start = |host: &Host| {
        let folder = lab.dir().join(format!("page-of-{}", host.name()));
        fs::create_dir(&folder)?;
        fs::write(folder.join("index.html"), page(host))?;
        let server = lab.web_server(host, 80, &folder)?;
        story.note(&format!("{}# mini_httpd -p 80 -d page", host.name()));
        Ok::<_, anyhow::Error>(server)
    };
    Ok((start(lab.b())?, start(lab.b2())?))
}

fn page(host: &Host) -> String {
    format!("Hello from {}!\n", host.name())
}

fn refused(story: &mut Story, lab: &Lab) -> Result<()> {
    story.step("Without portfwd nobody answers on A's port 81");
    let output = story.run(lab.client(), curl(lab, 81))?;
    // curl(1): 7 is "failed to connect to host".
    ensure!(
        output.status.code() == Some(7),
        "curl was expected to be refused, but ended with {}",
        output.status
    );
    Ok(())
}

fn start(story: &mut Story, lab: &Lab, binary: &Path) -> Result<Process> {
    story.step("portfwd in A: port 81 to B, port 82 to B2");
    let mut command = lab.portfwd(binary);
    command.args(["run", "-i", "eth0"]).args(RULES);
    story.typed(lab.a(), &command);
    let portfwd = lab.a().spawn(command)?;
    let ready = portfwd
        .wait_for_line("", BOUND)
        .context("portfwd did not say that traffic flows")?;
    story.printed(&ready);
    story.note("The programs are on A's NIC:");
    let link = story.succeed(lab.a(), link(lab))?;
    ensure!(link.contains("xdp"), "there is no XDP program on A's eth0");
    Ok(portfwd)
}

fn fetch(story: &mut Story, lab: &Lab) -> Result<()> {
    story.step("The client asks A, and gets the pages of B and B2");
    for (port, target) in [(81, lab.b()), (82, lab.b2())] {
        let body = story.succeed(lab.client(), curl(lab, port))?;
        ensure!(
            body == page(target),
            "this is not the page of {}: {body:?}",
            target.name()
        );
    }
    Ok(())
}

fn shown(story: &mut Story, lab: &Lab, binary: &Path) -> Result<()> {
    story.step("What portfwd knows of it");
    let list = story.succeed(lab.a(), arguments(lab.portfwd(binary), &["list"]))?;
    for rule in RULES {
        let (listen, target) = rule.split_once('=').context("a rule has a target")?;
        ensure!(
            list.lines()
                .any(|line| line.contains(listen) && line.contains(target)),
            "`portfwd list` does not show {rule}"
        );
    }
    let conns = arguments(lab.portfwd(binary), &["conns", "-o", "conntrack"]);
    let conns = story.succeed(lab.a(), conns)?;
    for (listen_port, target) in [(81, lab.b()), (82, lab.b2())] {
        let (client, a) = (lab.client().address(), lab.a().address());
        let original = format!("src={client} dst={a} ");
        let reply = format!("src={} dst={a} ", target.address());
        ensure!(
            conns.lines().any(|line| line.contains(&original)
                && line.contains(&format!("dport={listen_port} "))
                && line.contains(&reply)),
            "`portfwd conns` does not show the connection to {}",
            target.name()
        );
    }
    Ok(())
}

fn seen_by_targets(story: &mut Story, lab: &Lab, b: &WebServer, b2: &WebServer) -> Result<()> {
    story.step("The web servers saw A, not the client: their answers come back through A");
    for (host, server) in [(lab.b(), b), (lab.b2(), b2)] {
        wait_until("a line in the web server's log", BOUND, || {
            server.log().ends_with('\n')
        })?;
        let log = server.log();
        story.note(&format!("{}# cat access.log", host.name()));
        story.printed(&log);
        let source = format!("{} ", lab.a().address());
        ensure!(
            log.lines().all(|line| line.starts_with(&source)),
            "the web server on {} saw somebody else than A",
            host.name()
        );
    }
    Ok(())
}

fn stop(story: &mut Story, lab: &Lab, portfwd: &Process) -> Result<()> {
    story.step("Ctrl-C ends portfwd, and leaves nothing on the NIC");
    story.note(&format!("A# kill -INT {}", portfwd.id()));
    portfwd.signal(Signal::SIGINT)?;
    let status = portfwd.wait(BOUND)?;
    ensure!(
        status.success(),
        "portfwd ended with {status}; its stderr: {}",
        portfwd.stderr().trim()
    );
    let link = story.succeed(lab.a(), link(lab))?;
    ensure!(!link.contains("xdp"), "an XDP program was left on eth0");
    let output = story.run(lab.client(), curl(lab, 81))?;
    ensure!(
        output.status.code() == Some(7),
        "port 81 still answers: curl ended with {}",
        output.status
    );
    Ok(())
}

fn curl(lab: &Lab, port: u16) -> Command {
    let url = format!("http://{}:{port}/", lab.a().address());
    arguments(
        lab.client().command("curl"),
        &["-sS", "--max-time", "20", &url],
    )
}

fn link(lab: &Lab) -> Command {
    arguments(lab.a().command("ip"), &["link", "show", "eth0"])
}

fn arguments(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}
