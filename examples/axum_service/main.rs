//! A document service with `axum` that decides each request with Duramen, while policies and users change.
//!
//! ```text
//! cargo run --release --example axum_service --features tower -- serve [PORT]
//! cargo run --release --example axum_service --features tower -- load [SECONDS]
//! ```
//!
//! `serve` listens on 127.0.0.1 and prints the address. `load` starts a server as a process of its own, asks it over loopback for
//! so many seconds (5), and holds every answer against what was right in the epoch that it names. It fails when one is wrong or
//! the server has panicked.

mod client;
mod load;
mod service;

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments
        .get(1)
        .map(|text| text.parse::<u16>())
        .transpose()?;
    match arguments.first().map(|command| &**command) {
        Some("serve") => serve(number.unwrap_or(0)),
        Some("load") | None => load(Duration::from_secs(
            number.unwrap_or(5).clamp(1, 600).into(),
        )),
        Some(_) => Err("say `serve [PORT]` or `load [SECONDS]`".into()),
    }
}

#[tokio::main]
async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("{}", listener.local_addr()?);
    let authorizer = service::authorizer()?;
    // Whoever started the server closes its input to end it.
    tokio::task::spawn_blocking(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    axum::serve(listener, service::router(authorizer)).await?;
    Ok(())
}

fn load(time: Duration) -> Result<(), Box<dyn Error>> {
    let mut server = Server(
        Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let mut address = String::new();
    let output = server.0.stdout.take().ok_or("the server has no output")?;
    BufReader::new(output).read_line(&mut address)?;
    let address: SocketAddr = address.trim().parse()?;
    let report = load::run(address, time)?;
    drop(server.0.stdin.take());
    let mut complaints = String::new();
    if let Some(mut errors) = server.0.stderr.take() {
        errors.read_to_string(&mut complaints)?;
    }
    let panics = complaints.matches("panicked at").count();
    let load::Report {
        requests,
        allowed,
        changes,
        wrong,
        seconds,
    } = report;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = requests as f64 / seconds;
    println!("{seconds:.1} s, {requests} requests ({rate:.0} a second), {allowed} allowed");
    println!("{changes} changes of policies and users meanwhile");
    println!("{wrong} wrong answers, {panics} panics");
    if wrong > 0 || panics > 0 || allowed == 0 || allowed == requests {
        return Err(format!("that is not right\n{complaints}").into());
    }
    Ok(())
}

/// Ends the server, whatever becomes of the load.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
