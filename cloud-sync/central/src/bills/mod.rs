//! Channels' bills (账单) on their way into the database. What reads them is the crate `holdfast-bills`, which is named from here;
//! `docs/bills.md` is the contract of the files.
//!
//! | file | holds |
//! |---|---|
//! | [`spool`] | a file on its way in, kept where nobody sees it |
//! | [`import`] | a file into the database |
//! | [`folder`] | a folder that is watched for files; `handles` is what it does there |

pub mod folder;
mod handles;
pub mod import;
pub mod spool;

pub use ::bills::{
    AMOUNT_MAX, Biller, Encoding, Expected, Format, Kind, Line, Refusal, Stopped, Sums, Why, archive, mapped, separated,
};
