//! A member's account statement over HTTP: as JSON, and as a table.

use crate::{
    money::with_money,
    office::{BEGIN, Office, Somebody},
    station::lived,
};
use serde_json::{Value, json};

const PATH: &str = "/v1/members/w/statement";

fn amounts(balances: &Value) -> [&str; 6] {
    ["wallet", "on_road", "at_sites", "reserved", "owed", "together"].map(|field| balances[field].as_str().unwrap())
}

pub(crate) async fn a_statement_tells_every_movement_and_its_cause_and_adds_up_as_json_and_as_a_table(office: Office) {
    office.follow(&lived().journal("s1")).await;
    let station = with_money(&office).await;
    office.pass(60_000);
    let later = BEGIN.after_ms(60_000);
    let of = json!({ "site": "s1", "amount": "10.00" });
    office.post(&station, "/v1/members/w/leases", &of).await.expect(202);
    office.pass(60_000);
    let voucher = json!({ "site": "s1", "amount": "15.50", "hours": 2 });
    office
        .post(&station, "/v1/members/w/vouchers", &voucher)
        .await
        .expect(201);

    let all = office.get(&station, PATH).await.expect(200);
    assert_eq!((&all["member"], &all["name"]), (&json!("w"), &json!("Wang")));
    assert_eq!(amounts(&all["opening"]), ["0.00"; 6]);
    let lines = all["lines"].as_array().unwrap();
    let told: Vec<[&str; 4]> = lines
        .iter()
        .map(|line| ["cause", "from", "to", "amount"].map(|field| line[field].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["top_up", "clearing:wechat", "wallet:w", "50.00"],
            ["lease", "wallet:w", "transit:s1:w", "10.00"],
            ["lease", "wallet:w", "transit:s1:w", "15.50"],
        ]
    );
    assert_eq!(lines[0]["change"], "50.00");
    assert_eq!(lines[1]["change"], "0.00", "it is on the road, and the member's");
    assert_eq!(
        amounts(&all["closing"]),
        ["24.50", "25.50", "0.00", "0.00", "0.00", "50.00"]
    );
    assert_eq!(all["closing"], lines[2]["after"]);
    let sums = json!([
        { "cause": "lease", "count": 2, "amount": "25.50", "change": "0.00" },
        { "cause": "top_up", "count": 1, "amount": "50.00", "change": "50.00" },
    ]);
    assert_eq!(all["sums"], sums);

    // A part of it goes on where the part before it ends.
    let first = office.get(&station, &format!("{PATH}?to={later}")).await.expect(200);
    let second = office.get(&station, &format!("{PATH}?from={later}")).await.expect(200);
    assert_eq!(first["lines"], json!([lines[0]]));
    assert_eq!(second["lines"], json!([lines[1], lines[2]]));
    assert_eq!(first["closing"], second["opening"]);
    assert_eq!(second["closing"], all["closing"]);

    // The same as a table, however it is asked for.
    let table = office.get(&station, &format!("{PATH}?format=csv")).await;
    assert_eq!(table.status, 200, "{}", table.text);
    assert_eq!(table.headers["content-type"], "text/csv; charset=utf-8");
    let by_header = Somebody::clone(&station).with("accept", "text/csv");
    assert_eq!(office.get(&by_header, PATH).await.text, table.text);
    let rows: Vec<Vec<&str>> = table
        .text
        .split_terminator("\r\n")
        .map(|row| row.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 1 + 1 + 3 + 1, "{}", table.text);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{}", table.text);
    assert_eq!((rows[1][2], rows[5][2]), ("balance before", "balance after"));
    assert_eq!(rows[5][9..], ["24.50", "25.50", "0.00", "0.00", "0.00", "50.00"]);
    let asks_for_json = office.get(&by_header, &format!("{PATH}?format=json")).await;
    assert_eq!(asks_for_json.expect(200), all);

    for (query, what) in [
        ("format=xlsx", "format"),
        ("from=yesterday", "from"),
        ("from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "to"),
    ] {
        let refused = office.get(&station, &format!("{PATH}?{query}")).await;
        let refused = refused.problem(400, "invalid-url");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    office
        .get(&station, "/v1/members/nobody/statement")
        .await
        .problem(404, "unknown-member");
}
