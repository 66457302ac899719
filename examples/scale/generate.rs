//! Scenarios for whoever has none: policies of a few shapes over entities that a few of them match.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Directories that are removed when this is dropped.
pub(crate) struct Generated {
    root: PathBuf,
    pub(crate) directories: Vec<PathBuf>,
}

impl Generated {
    pub(crate) fn unless(given: bool) -> Result<Option<Self>, Box<dyn Error>> {
        if given {
            return Ok(None);
        }
        let root = std::env::temp_dir().join(format!("duramen-scale-{}", std::process::id()));
        let mut generated = Self {
            root,
            directories: Vec::new(),
        };
        for count in [100, 1_000, 10_000] {
            // As many documents as policies: so the policies that match stay as many.
            generated.add(&format!("flat-p{count}"), &flat(count), "", count)?;
        }
        for count in [1_000, 10_000, 100_000] {
            generated.add(&format!("rbac-p{count}"), &rbac(count), "", DOCS)?;
        }
        for count in [100, 1_000, 10_000] {
            let name = format!("attributes-p{count}");
            generated.add(&name, &attributes(count), "", DOCS)?;
        }
        generated.add("links-10000", TEMPLATE, &links(10_000), DOCS)?;
        Ok(Some(generated))
    }

    fn add(
        &mut self,
        name: &str,
        policies: &str,
        links: &str,
        docs: usize,
    ) -> Result<(), Box<dyn Error>> {
        let directory = self.root.join(name);
        std::fs::create_dir_all(&directory)?;
        let write = |name: &str, text: &str| std::fs::write(Path::new(&directory).join(name), text);
        write("policies.cedar", policies)?;
        if !links.is_empty() {
            write("links.json", links)?;
        }
        write("entities.json", &entities(docs))?;
        write("requests.json", &requests(docs))?;
        self.directories.push(directory);
        Ok(())
    }
}

impl Drop for Generated {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which cleans its directory of temporary files.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

const USERS: usize = 1_000;
const GROUPS: usize = 500;
const DOCS: usize = 2_000;
const FOLDERS: usize = 400;
const ACTIONS: [&str; 4] = ["read", "write", "share", "delete"];

/// A spread of numbers that is the same in every run.
fn pick(seed: usize, of: usize) -> usize {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize)
        .rotate_left(29)
        % of
}

/// Each policy is for one group, one action and one document.
pub(crate) fn flat(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let action = ACTIONS[pick(i, ACTIONS.len())];
        let (group, doc) = (pick(i * 3 + 1, GROUPS), pick(i * 5 + 2, count));
        let _ = writeln!(
            text,
            "permit(principal in Group::\"g{group}\", action == Action::\"{action}\", resource == Doc::\"d{doc}\");"
        );
    }
    text
}

/// Users, groups, folders and documents, half of the policies with conditions.
pub(crate) fn rbac(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let effect = if pick(i + 11, 40) == 0 {
            "forbid"
        } else {
            "permit"
        };
        let principal = match pick(i + 3, 4) {
            0 => format!("principal == User::\"u{}\"", pick(i + 4, USERS)),
            1 => format!("principal is User in Group::\"g{}\"", pick(i + 4, GROUPS)),
            _ => format!("principal in Group::\"g{}\"", pick(i + 4, GROUPS)),
        };
        let action = match pick(i + 5, 3) {
            0 => "action in [Action::\"read\", Action::\"share\"]".to_owned(),
            _ => format!(
                "action == Action::\"{}\"",
                ACTIONS[pick(i + 6, ACTIONS.len())]
            ),
        };
        let resource = match pick(i + 7, 3) {
            0 => format!("resource == Doc::\"d{}\"", pick(i + 8, DOCS)),
            _ => format!("resource in Folder::\"f{}\"", pick(i + 8, FOLDERS)),
        };
        let condition = match pick(i + 9, 6) {
            0 => " when { context.mfa }".to_owned(),
            1 => format!(" when {{ principal.level >= {} }}", pick(i + 10, 10)),
            2 => format!(" when {{ resource.dept == \"dept{}\" }}", pick(i + 10, 50)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{effect} (\n  {principal},\n  {action},\n  {resource}\n){condition};"
        );
    }
    text
}

/// For everybody and everything: told apart by an attribute of the principal.
fn attributes(count: usize) -> String {
    let mut text = String::new();
    for team in 0..count {
        let (action, level) = (ACTIONS[pick(team, ACTIONS.len())], pick(team + 1, 10));
        let _ = writeln!(
            text,
            "permit(principal, action == Action::\"{action}\", resource) \
             when {{ principal has team && principal.team == \"t{team}\" && principal.level >= {level} }};"
        );
    }
    text
}

pub(crate) const TEMPLATE: &str = "permit(principal == ?principal, action in [Action::\"read\", Action::\"share\"], \
                                   resource in ?resource) when { context.mfa };";

fn links(count: usize) -> String {
    let links: Vec<_> = (0..count)
        .map(|i| {
            let (user, folder) = (pick(i + 1, USERS), pick(i + 2, FOLDERS));
            format!(
                r#"{{"template":"policy0","id":"link{i}","principal":{{"type":"User","id":"u{user}"}},"resource":{{"type":"Folder","id":"f{folder}"}}}}"#
            )
        })
        .collect();
    format!("[{}]", links.join(","))
}

fn entities(docs: usize) -> String {
    let mut entities = Vec::new();
    for user in 0..USERS {
        let (group, level, team) = (pick(user, GROUPS), user % 10, pick(user, 100));
        entities.push(format!(
            r#"{{"uid":{{"type":"User","id":"u{user}"}},"attrs":{{"level":{level},"team":"t{team}"}},"parents":[{{"type":"Group","id":"g{group}"}}]}}"#
        ));
    }
    for group in 0..GROUPS {
        entities.push(format!(
            r#"{{"uid":{{"type":"Group","id":"g{group}"}},"attrs":{{}},"parents":[]}}"#
        ));
    }
    for doc in 0..docs {
        let (folder, dept) = (pick(doc, FOLDERS), doc % 50);
        entities.push(format!(
            r#"{{"uid":{{"type":"Doc","id":"d{doc}"}},"attrs":{{"dept":"dept{dept}"}},"parents":[{{"type":"Folder","id":"f{folder}"}}]}}"#
        ));
    }
    format!("[{}]", entities.join(",\n"))
}

fn requests(docs: usize) -> String {
    let requests: Vec<_> = (0..500)
        .map(|i| {
            let (user, doc) = (pick(i + 1, USERS), pick(i + 2, docs));
            let (action, mfa) = (ACTIONS[i % ACTIONS.len()], i % 3 > 0);
            format!(
                r#"{{"principal":{{"type":"User","id":"u{user}"}},"action":{{"type":"Action","id":"{action}"}},"resource":{{"type":"Doc","id":"d{doc}"}},"context":{{"mfa":{mfa}}}}}"#
            )
        })
        .collect();
    format!("[{}]", requests.join(",\n"))
}
