//! The tool server of `examples/agents`, as its own process: real messages over its pipes.
//!
//! Cargo builds examples with the tests, beside them; where they were left out (`--test it`), it is built here.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use super::evidence::Scratch;

/// The example's executable.
fn executable() -> PathBuf {
    // target/PROFILE/deps/it-…
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let path = profile
        .join("examples")
        .join("agents")
        .with_extension(std::env::consts::EXE_EXTENSION);
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--example", "agents", "--manifest-path"]);
        build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    path
}

struct Server {
    process: Child,
    directory: Scratch,
}

impl Server {
    fn start(claims: &Json) -> Self {
        let directory = Scratch::new();
        std::fs::create_dir_all(directory.path()).unwrap();
        std::fs::write(directory.path().join("disabled"), "").unwrap();
        let process = Command::new(executable())
            .arg("serve")
            .env("AGENT_TOKEN_CLAIMS", claims.to_string())
            .env("AGENT_STEP_UP_CODE", "1")
            .env("AGENT_DISABLED_USERS", directory.path().join("disabled"))
            .env("AGENT_RECORDS", directory.path().join("records"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, directory }
    }

    /// Sends a line and gives the line that comes back.
    fn line(&mut self, line: &str) -> Json {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        // A line an answer, and none is on its way before it is asked for: nothing is left in the buffer.
        let mut reader = BufReader::new(self.process.stdout.as_mut().unwrap());
        reader.read_line(&mut answer).unwrap();
        assert_eq!(reader.buffer(), b"");
        let answer: Json = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0");
        assert_ne!(
            answer.get("result").is_some(),
            answer.get("error").is_some()
        );
        answer
    }

    fn ask(&mut self, method: &str, mut params: Json) -> Json {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let request = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params });
        let answer = self.line(&request.to_string());
        assert_eq!(answer["id"], "a");
        answer
    }

    /// 0 for success, or else the error's code and what it says of the outcome.
    fn call(&mut self, tool: &str, arguments: Json) -> (i64, Json) {
        let answer = self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        );
        match answer.get("error") {
            None => (0, answer["result"]["content"][0]["text"].clone()),
            Some(error) => (error["code"].as_i64().unwrap(), error["data"].clone()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn claims(user: &str, agent: &str) -> Json {
    json!({
        "iss": "https://login.example", "sub": user, "exp": 4_102_444_800_u64,
        "act": { "iss": "https://agents.example", "client_id": agent },
    })
}

#[test]
fn calls_are_decided_for_user_and_agent_together() {
    let mut server = Server::start(&claims("ann", "assistant"));
    let mail = || json!({ "to": "x", "text": "y" });
    let plan = || json!({ "id": "plan" });
    assert_eq!(server.call("send_mail", mail()).0, 0);
    assert_eq!(
        server.call("read_document", plan()),
        (0, json!("The contents of plan."))
    );
    // The user may, the agent may not.
    let (code, data) = server.call("delete_document", plan());
    assert_eq!((code, &data["outcome"]), (-32001, &json!("no_permit")));
    assert_eq!(data["deniedTo"], "Agent::\"assistant\"");
    // What was read makes the next call need more.
    let (code, data) = server.call("send_mail", mail());
    assert_eq!((code, &data["stepUp"]), (-32001, &json!("code")));
    let mail_with = |code: &str| json!({ "to": "x", "text": "y", "step_up_code": code });
    assert_eq!(server.call("send_mail", mail_with("2")).0, -32001);
    assert_eq!(server.call("send_mail", mail_with("1")).0, 0);
    // The user is disabled: the next call is denied, whichever.
    std::fs::write(server.directory.path().join("disabled"), "ann\n").unwrap();
    let (code, data) = server.call("read_document", plan());
    assert_eq!((code, &data["outcome"]), (-32001, &json!("forbidden")));
    assert_eq!(data["deniedTo"], "User::\"ann\"");
    std::fs::write(server.directory.path().join("disabled"), "").unwrap();
    assert_eq!(server.call("read_document", plan()).0, 0);
    // A directory that cannot be asked denies, too.
    std::fs::remove_file(server.directory.path().join("disabled")).unwrap();
    assert_eq!(server.call("read_document", plan()).0, -32603);

    let records = std::fs::read_to_string(server.directory.path().join("records")).unwrap();
    let records: Vec<Json> = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 8);
    assert!(
        records
            .iter()
            .all(|record| record["delegation"]["hops"].as_array().unwrap().len() == 2)
    );
}

#[test]
fn tokens_decide_who_is_asked_about() {
    let plan = || json!({ "id": "plan" });
    // Both have to be allowed.
    for (user, agent) in [("ann", "stranger"), ("root", "assistant")] {
        let mut server = Server::start(&claims(user, agent));
        let (code, data) = server.call("read_document", plan());
        assert_eq!(code, -32001, "{user} {agent}: {data}");
    }
    let mut expired = claims("ann", "assistant");
    expired["exp"] = json!(1_000);
    let (code, data) = Server::start(&expired).call("read_document", plan());
    assert_eq!(
        (code, &data["outcome"]),
        (-32001, &json!("delegation_expired"))
    );
    // Without an agent, it is the user alone.
    let mut direct = claims("ann", "assistant");
    direct.as_object_mut().unwrap().remove("act");
    assert_eq!(Server::start(&direct).call("delete_document", plan()).0, 0);
    // An issuer that is not trusted for agents: the server does not start.
    let mut forged = claims("ann", "assistant");
    forged["act"]["iss"] = json!("https://evil.example");
    assert!(!Server::start(&forged).process.wait().unwrap().success());
}

#[test]
fn messages_are_json_rpc() {
    let mut server = Server::start(&claims("ann", "assistant"));
    let discovered = server.ask("server/discover", json!({}));
    assert_eq!(
        discovered["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    assert_eq!(discovered["result"]["resultType"], "complete");
    let listed = server.ask("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 3);
    assert!(
        tools
            .iter()
            .all(|tool| tool["inputSchema"]["type"] == "object")
    );
    for method in ["initialize", "ping", "tools/Call"] {
        assert_eq!(
            server.ask(method, json!({}))["error"]["code"],
            -32601,
            "{method}"
        );
    }
    for (tool, arguments) in [
        (json!("no_such_tool"), json!({})),
        (json!(7), json!({})),
        (json!("read_document"), json!({})),
        (json!("read_document"), json!({ "id": 7 })),
    ] {
        let params = json!({ "name": tool, "arguments": arguments });
        assert_eq!(
            server.ask("tools/call", params)["error"]["code"],
            -32602,
            "{tool}"
        );
    }
    for (line, code, id) in [
        ("{", -32700, json!(null)),
        ("[]", -32600, json!(null)),
        (r#"{"id":1,"method":"tools/list"}"#, -32600, json!(1)),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
            -32600,
            json!(null),
        ),
        (r#"{"jsonrpc":"2.0","id":2,"method":7}"#, -32600, json!(2)),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":[]}"#,
            -32600,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":4,"method":"tools/list"}"#,
            -32602,
            json!(4),
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#,
            -32022,
            json!(5),
        ),
    ] {
        let answer = server.line(line);
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(code), &id),
            "{line}"
        );
    }
    // A notification gets no answer; the next request gets its own.
    writeln!(
        server.process.stdin.as_mut().unwrap(),
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{}}}}"#
    )
    .unwrap();
    assert!(server.ask("tools/list", json!({})).get("result").is_some());
}

#[test]
fn the_demonstration_comes_out() {
    let output = Command::new(executable()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("All of it came out as it should."));
}
