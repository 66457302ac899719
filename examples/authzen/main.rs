//! A policy decision point that others ask by the AuthZEN Authorization API, with `axum`.
//!
//! ```text
//! cargo run --example authzen --features authzen -- [PORT]
//! curl -s localhost:PORT/access/v1/evaluation -H 'Content-Type: application/json' -d '{
//!     "subject": { "type": "user", "id": "ann" }, "action": { "name": "read" }, "resource": { "type": "record", "id": "1" } }'
//! ```
//!
//! It listens on 127.0.0.1 and prints the address. Whoever asks is answered: put what knows its clients before it.

mod service;

use std::error::Error;
use std::net::Ipv4Addr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map(|text| text.parse::<u16>());
    let port = port.transpose()?.unwrap_or(0);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, service::router(service::point()?)).await?;
    Ok(())
}
