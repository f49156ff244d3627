//! Lists for people are read by an index, whatever they are filtered by: no question reads a table to its end.

use crate::{Home, on_disk, wait};
use central::store::{
    Dialect, LookUp, Row, SetStatement, StoreError, Tx, Value,
    findings::{self, Class, Filter},
};

on_disk! {
    findings_are_read_by_an_index_whatever_the_filter
}

/// Asks how a question would be answered, before it is.
struct Explaining<'a> {
    tx: &'a mut dyn Tx,
    plans: Vec<String>,
}

impl Tx for Explaining<'_> {
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64, StoreError> {
        self.tx.execute(statement, values)
    }

    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        // A table of a few rows is read as it is, unless that is forbidden.
        let (explain, column) = match self.dialect() {
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
            Dialect::Postgres => {
                self.tx.execute("SET LOCAL enable_seqscan = off", &[])?;
                ("EXPLAIN", 0)
            }
        };
        let plan = self.tx.query(&format!("{explain} {statement}"), values)?;
        let lines: Result<Vec<String>, _> = plan.into_iter().map(|mut row| row.text(column)).collect();
        self.plans.push(lines?.join("; "));
        self.tx.query(statement, values)
    }

    fn write_all(&mut self, statement: &SetStatement, rows: &[Vec<Value>]) -> Result<(), StoreError> {
        self.tx.write_all(statement, rows)
    }

    fn find_all(&mut self, look: &LookUp, keys: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        self.tx.find_all(look, keys)
    }

    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }
}

/// How a question is answered.
fn plans(home: &Home, ask: impl FnOnce(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static) -> Vec<String> {
    let plans = wait(home.open().write(move |tx| {
        let mut explaining = Explaining { tx, plans: Vec::new() };
        ask(&mut explaining)?;
        Ok(explaining.plans)
    }));
    plans.unwrap()
}

fn findings_are_read_by_an_index_whatever_the_filter(home: &Home) {
    for bits in 0..8_u8 {
        let filter = Filter {
            site: (bits & 1 > 0).then(|| "S1".parse().unwrap()),
            class: (bits & 2 > 0).then_some(Class::Rating),
            order: (bits & 4 > 0).then(|| "A-1".parse().unwrap()),
        };
        let asked = filter.clone();
        let plans = plans(home, move |tx| findings::list(tx, &asked, None, 10).map(drop));
        let [plan] = plans.as_slice() else { panic!("{plans:?}") };
        // SQLite's words, and PostgreSQL's.
        assert!(
            !plan.contains("TEMP B-TREE") && !plan.contains("Seq Scan"),
            "{filter:?}: {plan}"
        );
        assert!(plan.contains("finding_"), "{filter:?}: {plan}");
        if bits > 0 {
            assert!(!plan.contains("SCAN finding"), "{filter:?}: {plan}");
        }
    }
}
