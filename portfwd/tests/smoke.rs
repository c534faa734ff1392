//! smoke
use std::time::Duration;
use xtask::lab::Lab;
#[test]
fn smoke() -> anyhow::Result<()> {
    let lab = Lab::new()?;
    let www = lab.dir().join("www");
    std::fs::create_dir(&www)?;
    std::fs::write(www.join("index.html"), vec![b'x'; 1 << 20])?;
    let _b = lab.web_server(lab.b(), 80, &www)?;
    let _b2 = lab.web_server(lab.b2(), 80, &www)?;
    let mut command = lab.portfwd(env!("CARGO_BIN_EXE_portfwd"));
    command.args(["run", "-i", "eth0", "192.168.1.34:81/tcp=192.168.1.32:80", "192.168.1.34:82/tcp=10.0.0.5:80"]);
    let daemon = lab.a().spawn(command)?;
    daemon.wait_for_line("ready", Duration::from_secs(10))?;
    for port in [81, 82] {
    let page = lab.client().run("curl", ["-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", &format!("http://192.168.1.34:{port}/")])?;
    println!("{page}"); }
    println!("{}", String::from_utf8(lab.portfwd(env!("CARGO_BIN_EXE_portfwd")).args(["conns","-o","conntrack"]).output()?.stdout)?);
    println!("{}", String::from_utf8(lab.portfwd(env!("CARGO_BIN_EXE_portfwd")).args(["stats"]).output()?.stdout)?);
    daemon.signal(xtask::lab::Signal::SIGINT)?;
    println!("{:?} {}", daemon.wait(Duration::from_secs(5)), daemon.stderr());
    Ok(())
}
