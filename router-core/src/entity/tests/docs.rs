//! `docs/reference/entities.md` has to be what the table says.

use crate::entity::markdown;

#[test]
fn docs_do_not_drift() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/entities.md");
    let expected = markdown();
    if std::env::var_os("SPANWAY_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference")).expect("a directory");
        std::fs::write(path, &expected).expect("the page is written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let first = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    assert!(
        found == expected,
        "docs/reference/entities.md is not what the table says; SPANWAY_WRITE_DOCS=1 cargo test -p router-core docs writes it \
         (first difference: {first:?})"
    );
}
