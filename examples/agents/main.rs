//! A tool server for AI agents that decides each call for the user and the agent together.
//!
//! ```text
//! cargo run --release --example agents            # a dialogue with a server, printed
//! cargo run --release --example agents -- serve   # the server: JSON-RPC 2.0, a message a line, on stdin and stdout
//! ```
//!
//! The server speaks the Model Context Protocol, revision 2026-07-28, as far as tools go: `server/discover`, `tools/list`
//! and `tools/call`. There is no handshake in that revision; every request says in `_meta` which version it speaks.
//!
//! Who calls is in the claims of an access token (RFC 8693): `sub` is the user, `act` the agent that acts for them. The
//! claims of the session's token stand in the environment, in `AGENT_TOKEN_CLAIMS`; a server over HTTP would take them from
//! the token that it has verified with each request. Nothing that a client says of itself decides.
//!
//! Who is disabled stands in a file (`AGENT_DISABLED_USERS`, an id a line), as a directory would say it; the code that
//! confirms a call in `AGENT_STEP_UP_CODE`, as the user's device would; and records are appended to `AGENT_RECORDS`.
//!
//! Each call is a request: the user as principal with a delegation to the agent, the tool as resource, and as context what
//! the session has done so far. So:
//!
//! * the agent may do what both it and the user may do, and nothing else;
//! * after a document was read, sending a mail needs a step-up (a code from the user), as what was read could be sent;
//! * when the user is disabled, the next call is denied, though the token is still good.
//!
//! | error | means |
//! |---|---|
//! | -32700, -32600, -32601, -32602 | no JSON, no request, no such method, no such tool or wrong arguments |
//! | -32022 | another version of the protocol |
//! | -32001 | denied; `data` says why, and what a step-up takes |
//! | -32603 | the decision failed: denied, too |

mod demo;
mod rpc;
mod server;
mod tools;

use std::error::Error;
use std::io::{self, BufRead, Write};

use server::Server;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        None | Some("demo") => demo::run(),
        Some("serve") => serve(),
        Some(other) => Err(format!("{other}: give nothing, demo or serve").into()),
    }
}

/// Answers messages until the client closes the pipe. What a person should see goes to stderr.
fn serve() -> Result<(), Box<dyn Error>> {
    let mut server = Server::from_environment()?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        if let Some(answer) = server.answer(&line?) {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}
