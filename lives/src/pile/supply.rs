//! What flows into a car: power over time and the energy a meter counts for it, exact in integers.
//! A test that knows the power and the elapsed time predicts every register to the digit.

use domain::units::{Energy, Power};

/// One unit of [`Energy`] (0.1 Wh) in watt-milliseconds.
const WATT_MS_PER_UNIT: u128 = 360_000;
/// Above this state of charge a tapering car takes half the power.
const TAPER_FROM_PCT: u128 = 80;

/// A car at a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Car {
    /// What its battery holds.
    pub battery: Energy,
    /// What is in it.
    pub stored: Energy,
    /// The most it takes.
    pub max_power: Power,
    /// Whether it takes half of that above 80 % state of charge.
    pub taper: bool,
}

impl Car {
    /// A car with `battery`, charged to `soc_pct` per cent, that takes up to `max_power` until it is full.
    pub fn new(battery: Energy, soc_pct: u8, max_power: Power) -> Self {
        let stored = share(battery, u128::from(soc_pct.min(100)));
        Self {
            battery,
            stored,
            max_power,
            taper: false,
        }
    }

    /// State of charge in whole per cent, when `added` has flowed in since it was plugged.
    pub fn soc_pct(&self, added: Energy) -> u8 {
        let stored = units(self.stored + added) * 100;
        u8::try_from(stored / units(self.battery).max(1))
            .unwrap_or(100)
            .min(100)
    }
}

/// The course of one charge: constant power, at most one step down, and an end when the car is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    watts: u128,
    /// From this millisecond on, this power.
    taper: Option<(u128, u128)>,
    /// What the car can take in all.
    room: Option<Energy>,
}

impl Supply {
    /// `power` for as long as it is switched on.
    pub fn constant(power: Power) -> Self {
        Self {
            watts: watts(power),
            taper: None,
            room: None,
        }
    }

    /// What a connector of `power` gives this car.
    pub fn into_car(power: Power, car: &Car) -> Self {
        let watts = watts(power.min(car.max_power));
        let room = (car.battery - car.stored).max(Energy::ZERO);
        let to_taper = (share(car.battery, TAPER_FROM_PCT) - car.stored).max(Energy::ZERO);
        let taper = car
            .taper
            .then(|| (first_ms(units(to_taper) * WATT_MS_PER_UNIT, watts), watts / 2));
        Self {
            watts,
            taper: taper.and_then(|(from, watts)| Some((from?, watts))),
            room: Some(room),
        }
    }

    /// What the meter has counted `elapsed_ms` after the start, rounded down to 0.1 Wh.
    pub fn energy_at(&self, elapsed_ms: u64) -> Energy {
        let counted = energy(self.watt_ms(u128::from(elapsed_ms)) / WATT_MS_PER_UNIT);
        self.room.map_or(counted, |room| counted.min(room))
    }

    /// The power `elapsed_ms` after the start; nothing once the car is full.
    pub fn power_at(&self, elapsed_ms: u64) -> Power {
        if self.full_after_ms().is_some_and(|full| elapsed_ms >= full) {
            return Power::ZERO;
        }
        let now = match self.taper {
            Some((from, tapered)) if u128::from(elapsed_ms) >= from => tapered,
            _ => self.watts,
        };
        Power(i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// When the car is full, in milliseconds after the start; `None` if it never is.
    pub fn full_after_ms(&self) -> Option<u64> {
        self.room.and_then(|room| self.reached_after_ms(room))
    }

    /// The first millisecond at which `energy_at` shows `target` or more; `None` if it never does.
    pub fn reached_after_ms(&self, target: Energy) -> Option<u64> {
        if self.room.is_some_and(|room| target > room) {
            return None;
        }
        let needed = units(target) * WATT_MS_PER_UNIT;
        let ms = match self.taper {
            Some((from, tapered)) if needed > self.watts * from => {
                from + first_ms(needed - self.watts * from, tapered)?
            }
            _ => first_ms(needed, self.watts)?,
        };
        u64::try_from(ms).ok()
    }

    fn watt_ms(&self, elapsed_ms: u128) -> u128 {
        match self.taper {
            Some((from, tapered)) if elapsed_ms > from => self.watts * from + tapered * (elapsed_ms - from),
            _ => self.watts * elapsed_ms,
        }
    }
}

/// The first millisecond at which `watts` have done `watt_ms` of work; `None` if there is no power to do it.
fn first_ms(watt_ms: u128, watts: u128) -> Option<u128> {
    if watt_ms == 0 {
        Some(0)
    } else {
        (watts > 0).then(|| watt_ms.div_ceil(watts))
    }
}

fn watts(power: Power) -> u128 {
    u128::try_from(power.0).unwrap_or(0)
}

fn units(energy: Energy) -> u128 {
    u128::try_from(energy.0).unwrap_or(0)
}

fn energy(units: u128) -> Energy {
    Energy(i64::try_from(units).unwrap_or(i64::MAX))
}

fn share(whole: Energy, pct: u128) -> Energy {
    energy(units(whole) * pct / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kwh(text: &str) -> Energy {
        text.parse().unwrap()
    }

    fn kw(text: &str) -> Power {
        text.parse().unwrap()
    }

    #[test]
    fn constant_power_counts_to_the_digit() {
        let supply = Supply::constant(kw("7"));
        assert_eq!(supply.energy_at(3_600_000), kwh("7"));
        assert_eq!(
            supply.energy_at(1_234_567),
            kwh("2.4005"),
            "7 kW × 1234.567 s = 2.40054… kWh, rounded down"
        );
        assert_eq!(supply.reached_after_ms(kwh("2.4005")), Some(1_234_543));
        assert_eq!(supply.energy_at(1_234_542), kwh("2.4004"));
        assert_eq!(supply.full_after_ms(), None);
        assert_eq!(Supply::constant(Power::ZERO).reached_after_ms(Energy(1)), None);
    }

    #[test]
    fn a_car_ends_when_it_is_full_and_takes_no_more() {
        let car = Car::new(kwh("60"), 50, kw("6.6"));
        let supply = Supply::into_car(kw("7"), &car);
        assert_eq!(
            supply.power_at(0),
            kw("6.6"),
            "the car's limit is below the connector's"
        );
        let full = supply.full_after_ms().unwrap();
        assert_eq!(supply.energy_at(full), kwh("30"));
        assert_eq!(supply.energy_at(full - 1), kwh("29.9999"));
        assert_eq!(
            (supply.energy_at(full * 2), supply.power_at(full)),
            (kwh("30"), Power::ZERO)
        );
        assert_eq!(car.soc_pct(kwh("15")), 75);
    }

    #[test]
    fn a_tapering_car_takes_half_above_four_fifths() {
        let car = Car {
            taper: true,
            ..Car::new(kwh("10"), 70, kw("100"))
        };
        let supply = Supply::into_car(kw("10"), &car);
        let knee = supply.reached_after_ms(kwh("1")).unwrap();
        assert_eq!(knee, 360_000);
        assert_eq!((supply.power_at(knee - 1), supply.power_at(knee)), (kw("10"), kw("5")));
        assert_eq!(supply.full_after_ms(), Some(360_000 + 1_440_000));
        assert_eq!(supply.energy_at(360_000 + 720_000), kwh("2"));
    }
}
