//! The house's order: a room uses only those above it in `lib.rs`, so that the module graph has no circle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn imports_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = rooms(&source);
    assert!(rooms.len() > 10, "the rooms of lib.rs: {rooms:?}");
    let mut wrong = BTreeSet::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("a file below src").to_owned();
        let first =
            relative.components().next().expect("a component").as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        let Some(place) = rooms.iter().position(|name| *name == room) else { continue };
        let text = std::fs::read_to_string(&file).expect("a source file");
        for used in rooms_used(&text) {
            if rooms.iter().position(|name| *name == used).is_some_and(|other| other > place) {
                wrong.insert(format!(
                    "{} uses {used}, which stands below {room}",
                    relative.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn rooms(source: &Path) -> Vec<String> {
    let lib = std::fs::read_to_string(source.join("lib.rs")).expect("lib.rs");
    let name = |line: &str| Some(line.strip_prefix("pub mod ")?.split(';').next()?.to_owned());
    lib.lines().filter_map(name).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// The rooms named after `crate::`, also within the braces of one `use`.
fn rooms_used(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let listed = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or(list));
        for name in
            listed.unwrap_or(rest).split(',').take(if listed.is_some() { usize::MAX } else { 1 })
        {
            used.insert(name.trim().chars().take_while(|c| is_name(*c)).collect());
        }
    }
    used
}
