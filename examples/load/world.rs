//! A company's documents as Cedar entity JSON, written as it is read: no text of a million entities is ever held.

use std::io::{self, Read};

/// How many entities there are of each kind, in the proportions of a document store with role-based policies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) groups: usize,
    pub(crate) users: usize,
    pub(crate) projects: usize,
    pub(crate) folders: usize,
    pub(crate) docs: usize,
}

const ACTIONS: [(&str, &str); 6] = [
    ("read", "viewer"),
    ("list", "viewer"),
    ("metadata", "viewer"),
    ("write", "editor"),
    ("share", "admin"),
    ("purge", "admin"),
];

const DEPTS: [&str; 7] = [
    "engineering",
    "finance",
    "legal",
    "design",
    "research",
    "support",
    "security",
];

/// A spread of numbers that is the same in every run.
pub(crate) fn pick(seed: usize, of: usize) -> usize {
    let spread = (seed as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29);
    (spread % of as u64) as usize
}

impl World {
    /// So many entities in all, actions not counted.
    pub(crate) fn of_entities(entities: usize) -> Self {
        let percent = |share: usize| entities / 100 * share;
        Self {
            groups: percent(5),
            users: percent(60),
            projects: percent(1),
            folders: percent(10),
            docs: entities - percent(76),
        }
    }

    pub(crate) fn len(&self) -> usize {
        ACTIONS.len() + self.groups + self.users + self.projects + self.folders + self.docs
    }

    pub(crate) fn json(self) -> Json {
        Json {
            world: self,
            next: 0,
            text: Vec::new(),
            at: 0,
        }
    }

    /// The JSON of one entity.
    fn entity(&self, mut number: usize) -> String {
        let entity = |ty: &str, id: String, attrs: String, parents: Vec<String>| {
            let parents = parents.join(",");
            format!(
                r#"{{"uid":{{"type":"Acme::{ty}","id":"{id}"}},"attrs":{{{attrs}}},"parents":[{parents}]}}"#
            )
        };
        let uid = |ty: &str, id: String| format!(r#"{{"type":"Acme::{ty}","id":"{id}"}}"#);
        let attrs = |seed: usize| {
            let owner = uid("User", user(pick(seed, self.users)));
            let (dept, sensitivity) = (DEPTS[pick(seed + 1, DEPTS.len())], pick(seed + 2, 6));
            let public = pick(seed + 3, 10) == 0;
            format!(
                r#""owner":{{"__entity":{owner}}},"dept":"{dept}","sensitivity":{sensitivity},"public":{public}"#
            )
        };
        if let Some((id, above)) = ACTIONS.get(number) {
            let above = uid("Action", (*above).to_owned());
            return entity("Action", (*id).to_owned(), String::new(), vec![above]);
        }
        number -= ACTIONS.len();
        if number < self.groups {
            let above = (number > 0).then(|| uid("Group", group(number / 4)));
            let above = above.filter(|_| number / 4 != number).into_iter().collect();
            return entity("Group", group(number), String::new(), above);
        }
        number -= self.groups;
        if number < self.users {
            let manager = uid("User", user(pick(number, self.users)));
            let (dept, clearance) = (DEPTS[pick(number + 1, DEPTS.len())], pick(number + 2, 6));
            let active = pick(number + 3, 20) > 0;
            let attrs = format!(
                r#""dept":"{dept}","clearance":{clearance},"active":{active},"labels":["vendor"],"manager":{{"__entity":{manager}}}"#
            );
            let above = vec![uid("Group", group(pick(number + 4, self.groups)))];
            return entity("User", user(number), attrs, above);
        }
        number -= self.users;
        if number < self.projects {
            let dept = DEPTS[pick(number, DEPTS.len())];
            let attrs = format!(r#""dept":"{dept}""#);
            return entity("Project", format!("project-{number:05}"), attrs, Vec::new());
        }
        number -= self.projects;
        if number < self.folders {
            let above = if number < self.folders / 10 {
                uid(
                    "Project",
                    format!("project-{:05}", pick(number, self.projects)),
                )
            } else {
                uid("Folder", folder(number / 10))
            };
            return entity("Folder", folder(number), attrs(number), vec![above]);
        }
        number -= self.folders;
        let above = uid("Folder", folder(pick(number, self.folders)));
        entity("Doc", doc(number), attrs(number + 7), vec![above])
    }

    /// Policies for groups and folders, `scoped` of them; with `general` also some that look at every document.
    pub(crate) fn policies(&self, scoped: usize, general: bool) -> String {
        let mut text = String::new();
        if general {
            text += r#"
                permit (principal, action == Acme::Action::"read", resource) when { resource.public };
                forbid (principal, action, resource) unless { principal.active };
                permit (principal, action, resource) when { resource.owner == principal && context.mfa };
                forbid (principal, action in Acme::Action::"admin", resource) unless { context.mfa };
                permit (principal, action in Acme::Action::"editor", resource is Acme::Doc)
                when { resource.owner has manager && resource.owner.manager == principal };
                permit (principal, action == Acme::Action::"metadata", resource) when { principal.dept == resource.dept };
            "#;
        }
        for policy in 0..scoped {
            let action = match pick(policy, 3) {
                0 => r#"action in Acme::Action::"viewer""#,
                1 => r#"action == Acme::Action::"read""#,
                _ => r#"action == Acme::Action::"write""#,
            };
            let (group, folder) = (
                group(pick(policy + 1, self.groups)),
                folder(pick(policy + 2, self.folders)),
            );
            let condition = match pick(policy + 3, 4) {
                0 if general => " when { context.mfa }",
                1 if general => " when { resource.sensitivity <= principal.clearance }",
                _ => "",
            };
            text += &format!(
                "permit (principal in Acme::Group::\"{group}\", {action}, resource in Acme::Folder::\"{folder}\"){condition};\n"
            );
        }
        text
    }
}

pub(crate) fn group(number: usize) -> String {
    format!("group-{number:05}")
}

pub(crate) fn user(number: usize) -> String {
    format!("user-{number:07}@example.com")
}

pub(crate) fn folder(number: usize) -> String {
    format!("folder-{number:06}")
}

pub(crate) fn doc(number: usize) -> String {
    format!("doc-{number:08}")
}

/// The JSON array of a world.
pub(crate) struct Json {
    world: World,
    next: usize,
    text: Vec<u8>,
    at: usize,
}

impl Read for Json {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            self.at = 0;
            self.text.clear();
            if self.next > self.world.len() {
                return Ok(0);
            }
            if self.next == self.world.len() {
                self.text.push(b']');
            } else {
                let before: &[u8] = if self.next == 0 { b"[" } else { b",\n" };
                self.text.extend_from_slice(before);
                self.text
                    .extend_from_slice(self.world.entity(self.next).as_bytes());
            }
            self.next += 1;
        }
        let read = (&self.text[self.at..]).read(into)?;
        self.at += read;
        Ok(read)
    }
}
