//! The house rules that a compiler does not check: sizes, who may import what, and that the
//! shipped configuration works.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of `src/` from the outside in: a module imports only from later lines, and from
/// modules of its own line where [`NEIGHBOURS`] says so.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["gateway", "http", "shutdown", "demo", "bench"],
    &["guard", "route", "upstream", "minds", "learn", "ledger"],
    &["telemetry"],
    &["openai", "config", "eval"],
];

/// `guard` and `route` read verdicts. The gateway builds the listeners, whose handlers ask
/// it for its parts.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("guard", "minds"),
    ("route", "minds"),
    ("learn", "minds"),
    ("upstream", "route"),
    ("gateway", "http"),
    ("http", "gateway"),
];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 5, "the sources of {folder}");
    found.sort();
    found
}

/// `src/openai/sse.rs` → `openai`.
fn module(path: &Path) -> &str {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    let name = first.as_os_str().to_str().unwrap();
    name.strip_suffix(".rs").unwrap_or(name)
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("src/{module} has no place in LAYERS"))
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests/it")) {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > 500 {
            long.push(format!("{}: {} lines, cap 500", path.display(), lines.len()));
        }
        // rustfmt closes a function at the indent it opened at.
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let opens = line.contains("fn ") && line.trim_end().ends_with('{') && !line.trim_start().starts_with("//");
            let close = format!("{}}}", " ".repeat(indent));
            if let Some(length) = opens.then(|| lines[start..].iter().position(|line| **line == close)).flatten()
                && length >= 100
            {
                long.push(format!("{}:{}: a function of {length} lines, cap 100", path.display(), start + 1));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let tests = |path: &Path| path.ends_with("tests.rs");
    let silent: Vec<_> = sources("src")
        .into_iter()
        .chain(sources("tests/it"))
        .filter(|(path, text)| !tests(path) && !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "without a `//!` at the top: {silent:?}");
    assert!(sources("src").iter().all(|(path, _)| !path.ends_with("mod.rs")), "foo.rs beside foo/, no mod.rs");
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let from = module(&path);
        if from == "lib" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for rest in line.split("crate::").skip(1) {
                let to = rest.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
                if to.is_empty() || to == from {
                    continue;
                }
                let neighbours = NEIGHBOURS.contains(&(from, to));
                if layer(to) < layer(from) || (layer(to) == layer(from) && !neighbours) {
                    wrong.push(format!("{}:{}: {from} imports {to}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_outside_world_has_one_door() {
    let doors = [
        ("ort::", &["src/minds/engine.rs"][..]),
        ("reqwest::", &["src/upstream/client.rs"]),
        ("clap::", &["src/cli.rs", "src/cli/"]),
        ("anyhow::", &["src/main.rs"]),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let name = path.to_str().unwrap();
        for (door, may) in doors {
            let used = text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                let mut before = line.split(door);
                // `support::` is not `ort::`.
                let first = before.next().unwrap();
                before.next().is_some() && !first.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            if used && !may.iter().any(|allowed| name.starts_with(allowed)) {
                wrong.push(format!("{name} uses {door}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn routing_guarding_and_the_wire_format_do_no_io() {
    let io = ["std::fs", "std::net", "tokio::", "std::time::SystemTime", "Instant::now", "rand::"];
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        if matches!(module(&path), "route" | "guard" | "openai") && !path.ends_with("tests.rs") {
            let used = io.iter().filter(|door| text.contains(**door));
            wrong.extend(used.map(|door| format!("{} uses {door}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_shipped_configuration_loads() {
    if let Err(faults) = mom::config::Config::load(Path::new("config.toml")) {
        panic!("{faults}");
    }
}
