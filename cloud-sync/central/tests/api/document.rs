//! The document in `docs/openapi-central.json` is what head office serves: a contract does not change by accident.

use crate::office::Office;

#[test]
fn the_checked_in_document_is_what_is_served() {
    let served = central::api::openapi().to_pretty_json().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi-central.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    if served.trim() == checked_in.trim() {
        return;
    }
    let differs = served.lines().zip(checked_in.lines()).zip(1..);
    let line = differs.clone().find(|((served, kept), _)| served != kept);
    let at = line.map_or_else(
        || "one of them goes on where the other ends".to_owned(),
        |((served, kept), line)| {
            format!("line {line}:\n  docs/openapi-central.json: {kept}\n  served:                    {served}")
        },
    );
    let new = std::env::temp_dir().join("openapi-central.json");
    std::fs::write(&new, served + "\n").unwrap();
    panic!(
        "docs/openapi-central.json is not what is served, first difference: {at}\n\
         If the change is meant, check that no caller breaks by it, and take what is served:\n\
         \n    cp {} docs/openapi-central.json\n",
        new.display()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_served_to_everybody() {
    let office = Office::sqlite().await;
    let served = office
        .get(&crate::office::Somebody::default(), "/openapi.json")
        .await
        .expect(200);
    assert_eq!(served, serde_json::to_value(central::api::openapi()).unwrap());
}
