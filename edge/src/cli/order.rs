//! `order`: what a person sees of one and does about it: end it, or correct its bill once that is settled.

use super::{Shown, client::Client};
use clap::Subcommand;
use domain::ids::OrderId;
use serde_json::{Value, json};
use service::table;

#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// All that is known of one.
    Show {
        /// The order's number.
        id: String,
    },
    /// Tell its pile to stop, or cancel it before it has begun. It is billed by its record.
    Stop {
        /// The order's number.
        id: String,
    },
    /// End it with what is known of it, whatever its pile says: by an estimate, which a record corrects.
    Close {
        /// The order's number.
        id: String,
    },
    /// Set the bill of a settled order, up or down. One that differs much from the first waits for a second person.
    Correct {
        /// The order's number.
        id: String,
        /// For electricity, in yuan, such as 12.00.
        #[arg(long)]
        electricity: String,
        /// For service, in yuan, such as 8.00.
        #[arg(long)]
        service: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Corrections that wait for a second person.
    Corrections,
    /// Approve a correction as the second person: with a token of your own (--token-file).
    ApproveCorrection {
        /// The order's number.
        id: String,
        /// The number of the correction, as `order corrections` prints it.
        number: u64,
    },
    /// Do not make a correction that waits.
    WithdrawCorrection {
        /// The order's number.
        id: String,
        /// The number of the correction, as `order corrections` prints it.
        number: u64,
        /// Why not.
        #[arg(long)]
        reason: String,
    },
}

impl Order {
    pub(super) fn ask(self, client: &Client) -> anyhow::Result<Shown> {
        if let Order::Show { id }
        | Order::Stop { id }
        | Order::Close { id }
        | Order::Correct { id, .. }
        | Order::ApproveCorrection { id, .. }
        | Order::WithdrawCorrection { id, .. } = &self
        {
            OrderId::new(id)?;
        }
        Ok(match self {
            Order::Show { id } => (client.get(&format!("/v1/orders/{id}"))?, table::fields),
            Order::Stop { id } => (
                client.post(&format!("/v1/orders/{id}/stop"), &json!({}))?,
                table::fields,
            ),
            Order::Close { id } => (
                client.post(&format!("/v1/orders/{id}/close"), &json!({}))?,
                table::fields,
            ),
            Order::Correct {
                id,
                electricity,
                service,
                reason,
            } => {
                let body = json!({ "electricity": electricity, "service": service, "reason": reason });
                (client.post(&format!("/v1/orders/{id}/corrections"), &body)?, corrected)
            }
            Order::Corrections => (client.all("/v1/corrections")?, waiting),
            Order::ApproveCorrection { id, number } => {
                let path = format!("/v1/orders/{id}/corrections/{number}/approve");
                (client.post(&path, &json!({}))?, corrected)
            }
            Order::WithdrawCorrection { id, number, reason } => {
                let path = format!("/v1/orders/{id}/corrections/{number}/withdraw");
                (client.post(&path, &json!({ "reason": reason }))?, corrected)
            }
        })
    }
}

/// What became of a correction: the order as it stands, or what waits.
fn corrected(order: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (paid, waits) = (&order["paid"], &order["correction"]);
    let stands = format!(
        "order {} is {}: fee {}, owed {}",
        word(&order["id"]),
        word(&order["state"]),
        word(&order["bill"]["fee"]),
        word(&paid["debt"])
    );
    if waits.is_null() {
        return stands;
    }
    format!(
        "{stands}\ncorrection {} to {} waits for a second person: holdfast-edge --token-file FILE order approve-correction {} {}",
        waits["number"],
        word(&waits["fee"]),
        word(&order["id"]),
        waits["number"]
    )
}

fn waiting(answer: &Value) -> String {
    let orders = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let rows = orders.iter().map(|order| {
        let waits = &order["correction"];
        json!({
            "order": order["id"], "member": order["member"], "number": waits["number"],
            "first settled": order["first_settled_fee"], "fee now": order["bill"]["fee"], "fee proposed": waits["fee"],
            "by": waits["by"], "since": waits["at"], "reason": waits["reason"],
        })
    });
    let columns = [
        "order",
        "number",
        "member",
        "first settled",
        "fee now",
        "fee proposed",
        "by",
        "since",
        "reason",
    ];
    table::columns(&json!({ "items": rows.collect::<Vec<_>>() }), &columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(correction: &Value) -> Value {
        json!({
            "id": "o1", "state": "PAYED", "member": "m1", "bill": { "fee": "70.00" }, "paid": { "debt": "0.00" },
            "first_settled_fee": "70.00", "correction": correction,
        })
    }

    #[test]
    fn a_correction_says_whether_it_was_made_or_waits() {
        assert_eq!(
            corrected(&order(&Value::Null)),
            "order o1 is PAYED: fee 70.00, owed 0.00"
        );
        let waits = json!({ "number": 51, "fee": "5.00", "by": "alice", "at": "2026-03-01T00:00:00Z", "reason": "r" });
        assert_eq!(
            corrected(&order(&waits)),
            "order o1 is PAYED: fee 70.00, owed 0.00\n\
             correction 51 to 5.00 waits for a second person: holdfast-edge --token-file FILE order approve-correction o1 51"
        );
        assert_eq!(
            waiting(&json!({ "items": [order(&waits)] })),
            "order  number  member  first settled  fee now  fee proposed  by     since                 reason\n\
             o1     51      m1      70.00          70.00    5.00          alice  2026-03-01T00:00:00Z  r"
        );
        assert_eq!(waiting(&json!({ "items": [] })), "none");
    }
}
