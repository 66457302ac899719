//! Checkpoints that are signed.

#[cfg(feature = "signed-checkpoints")]
mod with_keys {
    use std::fs;

    use duramen::evidence::log::Checkpoint;

    use crate::command::Verdict;
    use crate::tests::{Scratch, comes_to, demo, fails};

    /// A pair of keys, secret and public, in files: of RFC 8032, section 7.1, test 1.
    fn keys(scratch: &Scratch) -> (String, String) {
        let write = |name: &str, key: &str| {
            let file = scratch.at(name);
            fs::write(&file, format!("{key}\n")).unwrap();
            file
        };
        (
            write(
                "secret",
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            ),
            write(
                "public",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            ),
        )
    }

    #[test]
    fn a_checkpoint_is_signed_and_its_signature_checked() {
        let scratch = Scratch::new();
        let (log, plain) = demo(&scratch);
        let (secret, public) = keys(&scratch);
        comes_to(&["checkpoint", &log, "--sign", &secret], Verdict::Fine);
        let signed = crate::keys::sign(Checkpoint::of(&log).unwrap(), secret.as_ref()).unwrap();
        let file = |name: &str, text: &str| {
            let file = scratch.at(name);
            fs::write(&file, text).unwrap();
            file
        };
        let text = signed.to_json();
        let signed = file("signed", &text);
        // The bytes themselves are a key too.
        let bytes = fs::read_to_string(&public).unwrap();
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&bytes[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let raw = scratch.at("raw");
        fs::write(&raw, bytes).unwrap();
        for key in [&public, &raw] {
            let words = ["verify", &log, "--checkpoint", &signed, "--key", key];
            comes_to(&words, Verdict::Fine);
        }
        comes_to(&["verify", &log, "--checkpoint", &signed], Verdict::Fine);
        // Of another key, of another checkpoint, and none.
        let forged = file("forged", &text.replace("\"count\":", "\"count\":1"));
        for (checkpoint, key) in [(&signed, &secret), (&forged, &public), (&plain, &public)] {
            let words = ["verify", &log, "--checkpoint", checkpoint, "--key", key];
            comes_to(&words, Verdict::Finding);
        }
        for bad in [&signed, &scratch.at("nothing"), &file("short", "d75a98")] {
            fails(
                &["verify", &log, "--checkpoint", &signed, "--key", bad],
                bad,
            );
            fails(&["checkpoint", &log, "--sign", bad], bad);
        }
        fails(
            &["verify", &log, "--key", &public],
            "give --checkpoint FILE",
        );
    }
}

#[cfg(not(feature = "signed-checkpoints"))]
mod without_keys {
    use crate::tests::{Scratch, demo, fails};

    #[test]
    fn without_the_feature_keys_are_refused() {
        let scratch = Scratch::new();
        let (log, checkpoint) = demo(&scratch);
        for words in [
            &["verify", &log, "--checkpoint", &checkpoint, "--key", "key"][..],
            &["checkpoint", &log, "--sign", "key"],
        ] {
            fails(words, "--features signed-checkpoints");
        }
        fails(&["verify", &log, "--key", "key"], "give --checkpoint FILE");
    }
}
