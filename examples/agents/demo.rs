//! A client: starts the server as its own process and prints what they say to each other.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};

const CODE: &str = "271828";

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let directory = Directory::new()?;
    let mut client = Client::start(&directory.0)?;
    let mail = json!({ "to": "press@example.com", "text": "The plan is …" });
    let confirmed =
        json!({ "to": "press@example.com", "text": "The plan is …", "step_up_code": CODE });
    let plan = json!({ "id": "plan" });

    println!("Ann's assistant acts for Ann. What does the server offer?");
    client.ask("server/discover", json!({}))?;
    client.ask("tools/list", json!({}))?;
    println!("\nBoth may send mails, and nothing was read yet.");
    client.call("send_mail", &mail, None)?;
    println!("\nBoth may read.");
    client.call("read_document", &plan, None)?;
    println!("\nAnn may delete, her assistant may not: so it may not for her.");
    client.call("delete_document", &plan, Some("no_permit"))?;
    println!("\nThe same mail again. But now the assistant has read something that it could send.");
    client.call("send_mail", &mail, Some("forbidden"))?;
    println!("\nAnn confirms with a code.");
    client.call("send_mail", &confirmed, None)?;
    println!("\nAnn is disabled, in the middle of the session.");
    directory.disable("ann")?;
    client.call("read_document", &plan, Some("forbidden"))?;
    client.call("send_mail", &confirmed, Some("forbidden"))?;
    client.stop()?;

    println!("\nThe last record, with what each hop came to:");
    let records = std::fs::read_to_string(directory.records())?;
    let record: Json = serde_json::from_str(records.lines().last().ok_or("no records")?)?;
    let hops = record["delegation"]["hops"].as_array();
    for hop in hops.ok_or("a record without a delegation")? {
        let principal = &hop["principal"];
        println!(
            "   {}::{}: {}",
            principal["type"].as_str().unwrap_or_default(),
            principal["id"],
            hop["outcome"].as_str().unwrap_or_default()
        );
    }
    println!("\nAll of it came out as it should.");
    Ok(())
}

struct Client {
    server: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    id: u64,
}

impl Client {
    fn start(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let claims = json!({
            "iss": "https://login.example", "sub": "ann", "exp": 4_102_444_800_u64,
            "act": { "iss": "https://agents.example", "client_id": "assistant" },
        });
        let mut server = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("AGENT_TOKEN_CLAIMS", claims.to_string())
            .env("AGENT_STEP_UP_CODE", CODE)
            .env("AGENT_DISABLED_USERS", directory.join("disabled"))
            .env("AGENT_RECORDS", directory.join("records.jsonl"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = server.stdin.take().zip(server.stdout.take());
        let (to, from) = pipes.ok_or("the server has no pipes")?;
        Ok(Self {
            server,
            to,
            from: BufReader::new(from).lines(),
            id: 0,
        })
    }

    /// Sends a request and gives the answer.
    fn ask(&mut self, method: &str, mut params: Json) -> Result<Json, Box<dyn Error>> {
        self.id += 1;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let request =
            json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        println!("-> {request}");
        writeln!(self.to, "{request}")?;
        let line = self.from.next().ok_or("the server has gone")??;
        println!("<- {line}");
        let answer: Json = serde_json::from_str(&line)?;
        if answer["id"] != self.id {
            return Err("an answer to something else".into());
        }
        Ok(answer)
    }

    /// Calls a tool; it must succeed, or be denied with the outcome.
    fn call(
        &mut self,
        tool: &str,
        arguments: &Json,
        denied: Option<&str>,
    ) -> Result<(), Box<dyn Error>> {
        let answer = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )?;
        let outcome = answer["error"]["data"]["outcome"].as_str();
        if outcome != denied || answer.get("result").is_some() != denied.is_none() {
            return Err(format!("{tool}: expected {denied:?}").into());
        }
        Ok(())
    }

    fn stop(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.to);
        let status = self.server.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the server ended with {status}").into()),
        }
    }
}

/// A directory for the demonstration, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Box<dyn Error>> {
        let path = std::env::temp_dir().join(format!("duramen-agents-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        std::fs::write(path.join("disabled"), "")?;
        Ok(Self(path))
    }

    fn disable(&self, user: &str) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::write(
            self.0.join("disabled"),
            format!("{user}\n"),
        )?)
    }

    fn records(&self) -> PathBuf {
        self.0.join("records.jsonl")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
