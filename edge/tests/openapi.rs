//! The document in `docs/openapi.json` is what the daemon serves: a contract does not change by accident.

#[test]
fn the_checked_in_document_is_what_is_served() {
    let served = edge::api::openapi().to_pretty_json().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    if served.trim() == checked_in.trim() {
        return;
    }
    let differs = served.lines().zip(checked_in.lines()).zip(1..);
    let line = differs.clone().find(|((served, kept), _)| served != kept);
    let at = line.map_or_else(
        || "one of them goes on where the other ends".to_owned(),
        |((served, kept), line)| format!("line {line}:\n  docs/openapi.json: {kept}\n  served:            {served}"),
    );
    panic!(
        "docs/openapi.json is not what is served, first difference: {at}\n\
         If the change is meant, check that no caller breaks by it, then regenerate the file:\n\
         \n    cargo run -p holdfast-edge -- openapi > docs/openapi.json\n"
    );
}
