//! scratch
#![allow(warnings)]
use duramen::*;
use serde_json::Value;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dir = &a[1];
    let mode = &a[2];
    let n: usize = a[3].parse().unwrap();
    let rd = |f: &str| std::fs::read_to_string(format!("{dir}/{f}")).ok();
    let mut b = Authorizer::builder()
        .policies(rd("policies.cedar").unwrap().as_str())
        .entities(rd("entities.json").unwrap().as_str());
    if let Some(s) = rd("schema.cedarschema") {
        b = b.schema_str(s.as_str());
    }
    let auth = b.build().unwrap();
    let reqs: Vec<Value> = serde_json::from_str(&rd("requests.json").unwrap()).unwrap();
    fn u<'a>(v: &'a Value) -> (&'a str, &'a str) {
        (v["type"].as_str().unwrap(), v["id"].as_str().unwrap())
    }
    let ctx: Vec<String> = reqs.iter().map(|r| r["context"].to_string()).collect();
    let rq: Vec<Request> = reqs
        .iter()
        .zip(&ctx)
        .map(|(r, c)| {
            let q = Request::new(u(&r["principal"]), u(&r["action"]), u(&r["resource"]));
            if mode == "e2e0" { q } else { q.context_json(c) }
        })
        .collect();
    let mut s = auth.session();
    let mut prep: Vec<_> = rq.iter().map(|r| auth.prepare(r).unwrap()).collect();
    let mut t = 0;
    for _ in 0..n {
        if mode == "eval" {
            for p in &mut prep {
                t += s.is_authorized_prepared(p).is_allowed() as usize;
            }
        } else {
            for r in &rq {
                t += s.is_authorized(r).is_allowed() as usize;
            }
        }
    }
    println!("{} {}", t, rq.len());
}
