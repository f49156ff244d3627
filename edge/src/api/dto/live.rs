//! The frames of the WebSockets.

use crate::{api::wire::live::LiveDto, hub::Frame};
use serde::Serialize;
use utoipa::ToSchema;

/// One message of an order's WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LiveFrame {
    /// Rises over all orders of the station, across restarts too; send the last one as `after` to resume.
    pub seq: u64,
    /// What the driver sees.
    #[serde(flatten)]
    pub view: LiveDto,
}

impl From<&Frame> for LiveFrame {
    fn from(frame: &Frame) -> Self {
        Self {
            seq: frame.seq,
            view: (&frame.view).into(),
        }
    }
}

/// One message of the site's WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LiveSite {
    /// Rises over all orders of the station, across restarts too; send the last one as `after` to resume.
    pub seq: u64,
    /// `orders` is every open order: whatever a reader shows besides has ended. So it is in the first message of a
    /// connection that resumes nothing, or cannot.
    pub complete: bool,
    /// Every open order, or those that changed, each once, the latest only.
    pub orders: Vec<LiveFrame>,
}
