//! Sites' days: where in a site's journal each of them ended.

pub(super) const TABLES: &[&str] = &[
    // The last entry of a business day, on a branch: the one before the day after began. `said_at` is when head office learnt of it.
    "CREATE TABLE site_day (
        site TEXT NOT NULL REFERENCES site (id),
        branch BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        day TEXT NOT NULL,
        hash TEXT NOT NULL,
        said_at BIGINT NOT NULL,
        PRIMARY KEY (site, branch, seq))",
    "CREATE INDEX site_day_day ON site_day (site, branch, day)",
    // Orders by the day on which their money moved first.
    "CREATE INDEX r_order_site_day ON r_order (site, day) WHERE day IS NOT NULL",
];

/// Of version 14. With all that is asked of a site's day in it: SQLite takes an index that has everything, also one that leads through the
/// orders that all sites have on the day.
pub(super) const ORDERS_OF_A_DAY: &[&str] = &[
    "DROP INDEX r_order_site_day",
    "CREATE INDEX r_order_site_day ON r_order (site, day, id, fee, energy) WHERE day IS NOT NULL",
];
