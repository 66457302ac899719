//! temporary
use std::hint::black_box;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let mode = std::env::args().nth(2).unwrap();
    let n: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let rd = |f: &str| std::fs::read_to_string(format!("{dir}/{f}")).unwrap();
    let mut p = duramen::Policies::new().text(rd("policies.cedar"));
    if let Ok(l) = std::fs::read_to_string(format!("{dir}/links.json")) {
        let l: Vec<serde_json::Value> = serde_json::from_str(&l).unwrap();
        for x in &l {
            let g = |k: &str| x.get(k).map(|u| (u["type"].as_str().unwrap(), u["id"].as_str().unwrap()).into());
            p = p.link(x["template"].as_str().unwrap(), x["id"].as_str().unwrap(), g("principal"), g("resource"));
        }
    }
    let a = duramen::Authorizer::builder().schema_str(rd("schema.cedarschema")).policies(p).entities(rd("entities.json").as_str()).validate_policies(false).build().unwrap();
    let reqs: Vec<serde_json::Value> = serde_json::from_str(&rd("requests.json")).unwrap();
    let s = |v: &serde_json::Value| (v["type"].as_str().unwrap().to_string(), v["id"].as_str().unwrap().to_string());
    let reqs: Vec<_> = reqs.iter().map(|r| (s(&r["principal"]), s(&r["action"]), s(&r["resource"]), r["context"].to_string())).collect();
    fn mk<'a>(r: &'a ((String,String),(String,String),(String,String),String)) -> duramen::Request<'a> {
        let q = duramen::Request::new((r.0.0.as_str(), r.0.1.as_str()), (r.1.0.as_str(), r.1.1.as_str()), (r.2.0.as_str(), r.2.1.as_str()));
        if r.3 == "{}" { q } else { q.context_json(&r.3) }
    }
    let mut prepared: Vec<_> = reqs.iter().map(|r| a.prepare(&mk(r)).unwrap()).collect();
    let mut sess = a.session();
    let mut acc = 0;
    let t = std::time::Instant::now();
    for i in 0..n {
        let k = i % reqs.len();
        acc += match mode.as_str() {
            "eval" => sess.is_authorized_prepared(black_box(&mut prepared[k])).is_allowed() as usize,
            "none" => k,
            _ => sess.is_authorized(black_box(&mk(&reqs[k]))).is_allowed() as usize,
        };
    }
    println!("{acc} {:?}", t.elapsed() / n as u32);
}
