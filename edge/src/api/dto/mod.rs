//! The shapes of requests and answers that are the station's alone, one file per resource; what head office answers in the
//! same shapes stands in [`service::wire`]. Every field's comment is its description in the document.

pub mod books;
pub mod desk;
pub mod display;
pub mod live;
pub mod pile;
pub mod problem;
pub mod station;
pub mod sync;
pub mod tariff;
pub mod told;
