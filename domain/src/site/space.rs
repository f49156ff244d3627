//! Room on the disk: what is given up first, and what never. Telemetry first, then new orders; what is open settles.

use super::{Answer, Handled, Rejected, Site, Space, Turn};

const MIB: u64 = 1 << 20;

impl Site {
    /// The room on the disk as it was last told.
    pub fn disk_space(&self) -> Space {
        self.live.space
    }

    /// Whether telemetry is to be written: it is the first that is given up.
    pub fn keeps_telemetry(&self) -> bool {
        let Space { free_bytes, reserve } = self.live.space;
        reserve && free_bytes >= self.policy.telemetry_below_bytes
    }

    /// Why no new orders are taken, if so.
    pub fn takes_no_orders(&self) -> Option<String> {
        let Space { free_bytes, reserve } = self.live.space;
        let least = self.policy.orders_below_bytes;
        if free_bytes < least {
            let (free, least) = (free_bytes / MIB, least.div_ceil(MIB));
            Some(format!(
                "the disk is nearly full, {free} MiB are free and {least} MiB are needed; make room on it"
            ))
        } else if !reserve {
            Some("the disk has no room for the reserve that lets open orders settle; make room on it".to_owned())
        } else {
            None
        }
    }
}

impl Turn<'_> {
    pub(super) fn space(&mut self, space: Space) -> Handled {
        self.site.live.space = space;
        Ok(Answer::Done)
    }

    pub(super) fn check_takes_orders(&self) -> Result<(), Rejected> {
        self.site
            .takes_no_orders()
            .map_or(Ok(()), |why| Err(Rejected::NotTakingOrders(why)))
    }
}
