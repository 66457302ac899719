#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_digest_reads_back_from_its_text() {
    let digest = VersionDigest::from(std::array::from_fn(|i| i as u8 * 7));
    let text = serde_json::to_string(&digest).unwrap();
    assert_eq!(text, format!("\"{digest}\""));
    assert_eq!(
        serde_json::from_str::<VersionDigest>(&text).unwrap(),
        digest
    );
    assert!(serde_json::from_str::<VersionDigest>("\"00\"").is_err());
    assert!(serde_json::from_str::<VersionDigest>(&"é".repeat(64)).is_err());
}
