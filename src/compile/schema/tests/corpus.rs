//! Every schema, request and entity of Cedar's corpus.

use super::model::assert_is_cedars;
use super::*;

/// Every schema, request and entity of Cedar's corpus, if `DURAMEN_CORPUS` names a directory that has it.
#[test]
fn cedar_agrees_on_the_corpus() {
    let Some(directory) = std::env::var_os("DURAMEN_CORPUS") else {
        eprintln!(
            "SKIPPED: DURAMEN_CORPUS is not set, so no schema of the corpus was compared with Cedar"
        );
        return;
    };
    let mut seen = Seen::default();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "cedarschema")
        {
            seen.case(&path);
        }
    }
    eprintln!("{seen:?}");
    assert!(seen.schemas > 0, "no schemas in that directory");
}

#[derive(Default, Debug)]
struct Seen {
    schemas: usize,
    requests_accepted: usize,
    requests_refused: usize,
    entities_accepted: usize,
    entities_refused: usize,
    generated_accepted: usize,
    generated_refused: usize,
}

impl Seen {
    fn case(&mut self, schema_path: &Path) {
        let name = schema_path.display().to_string();
        let text = std::fs::read_to_string(schema_path).unwrap();
        let case = &Case::new(name, &[SchemaSource::CedarText(&text)]);
        assert_is_cedars(&case.name, &case.compiled);
        self.schemas += 1;
        let read = |extension: &str| -> Json {
            let text = std::fs::read_to_string(schema_path.with_extension(extension)).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        for request in read("json")["requests"].as_array().unwrap() {
            self.request(case, request);
        }
        let entities = Entities::from_json_value(read("entities.json"), None).unwrap();
        for entity in entities.iter() {
            self.entity(case, &entities, entity);
        }
        let model = &case.compiled.model;
        let mut generator = Generator::new(model, 0, Breakage::Nothing);
        for action in model.actions() {
            let request = generator.with_one_break(|generator| any_request(generator, action));
            self.generated(request.is_accepted(case));
        }
        for decl in model.entity_types() {
            let entity = generator.with_one_break(|generator| any_entity(generator, decl));
            self.generated(entity.is_accepted(case));
        }
    }

    fn generated(&mut self, accepted: bool) {
        match accepted {
            true => self.generated_accepted += 1,
            false => self.generated_refused += 1,
        }
    }

    fn request(&mut self, case: &Case, request: &Json) {
        let action = from_cedar_uid_json(&request["action"]);
        // With the schema, Cedar refuses some contexts while reading them.
        let read = |schema| Context::from_json_value(request["context"].clone(), schema).ok();
        let context = read(Some((&case.compiled.schema, &to_cedar_uid(&action))))
            .or_else(|| read(None))
            .unwrap();
        let request = AnyRequest {
            principal: from_cedar_uid_json(&request["principal"]),
            action,
            resource: from_cedar_uid_json(&request["resource"]),
            context: from_cedar_fields(&context.to_json_value().unwrap()),
        };
        match request.is_accepted(case) {
            true => self.requests_accepted += 1,
            false => self.requests_refused += 1,
        }
    }

    fn entity(&mut self, case: &Case, entities: &Entities, entity: &Entity) {
        let json = entity.to_json_value().unwrap();
        let entity = AnyEntity {
            uid: from_cedar_uid(&entity.uid()),
            attributes: from_cedar_fields(&json["attrs"]),
            tags: json.get("tags").map(from_cedar_fields).unwrap_or_default(),
            ancestors: entities
                .ancestors(&entity.uid())
                .unwrap()
                .map(from_cedar_uid)
                .collect(),
        };
        match entity.is_accepted(case) {
            true => self.entities_accepted += 1,
            false => self.entities_refused += 1,
        }
    }
}
