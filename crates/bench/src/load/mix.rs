//! Who asks: priority classes and tenants, by weight.

use crate::random::Random;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// The priority class that a request asks for. Critical cannot be asked for: only an API key's configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `service_tier: "priority"`.
    High,
    /// No `service_tier`.
    Normal,
    /// `service_tier: "flex"`.
    Low,
}

impl Class {
    /// All classes, most important first.
    pub const ALL: [Class; 3] = [Class::High, Class::Normal, Class::Low];

    /// Its name in options and tables.
    pub fn name(self) -> &'static str {
        match self {
            Class::High => "high",
            Class::Normal => "normal",
            Class::Low => "low",
        }
    }

    /// Its `service_tier`. Normal requests leave the field out, so that peers that know no tiers see nothing unusual.
    pub fn service_tier(self) -> Option<&'static str> {
        match self {
            Class::High => Some("priority"),
            Class::Normal => None,
            Class::Low => Some("flex"),
        }
    }
}

/// Shares of the classes, written as `high=0.1,normal=0.9`. Shares are relative: they need not add up to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Weighted<Class>);

impl Mix {
    /// Only this class.
    pub fn only(class: Class) -> Self {
        Mix(Weighted(vec![(class, 1.0)]))
    }

    /// Classes with these shares.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(shares: Vec<(Class, f64)>) -> Self {
        assert!(!shares.is_empty(), "no classes");
        Mix(Weighted(shares))
    }

    /// Draws a class.
    pub fn draw(&self, random: &mut Random) -> Class {
        *self.0.draw(random)
    }
}

/// Tenants and their shares of the requests, written as `alice=1,bob=1,flood=100`. A name without a share has 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenants(Weighted<String>);

impl Tenants {
    /// Tenants with these shares.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(shares: Vec<(String, f64)>) -> Self {
        assert!(!shares.is_empty(), "no tenants");
        Tenants(Weighted(shares))
    }

    /// Draws a tenant.
    pub fn draw(&self, random: &mut Random) -> &str {
        self.0.draw(random)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Weighted<T>(Vec<(T, f64)>);

impl<T> Weighted<T> {
    fn draw(&self, random: &mut Random) -> &T {
        let mut left = random.unit() * self.0.iter().map(|(_, weight)| weight).sum::<f64>();
        for (item, weight) in &self.0 {
            if left < *weight {
                return item;
            }
            left -= weight;
        }
        // Rounding can leave a crumb after the last weight.
        &self.0[self.0.len() - 1].0
    }

    fn parse(text: &str, example: &str, item: impl Fn(&str) -> Option<T>) -> Result<Self, String> {
        let bad = || format!("'{text}' is no list of shares: write {example}");
        let entry = |part: &str| {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight = weight.trim().parse::<f64>().ok().filter(|w| w.is_finite() && *w >= 0.0);
            Ok((item(name.trim()).ok_or_else(bad)?, weight.ok_or_else(bad)?))
        };
        let all: Vec<(T, f64)> = text.split(',').map(entry).collect::<Result<_, String>>()?;
        if all.iter().map(|(_, weight)| weight).sum::<f64>() > 0.0 { Ok(Weighted(all)) } else { Err(bad()) }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, name: impl Fn(&T) -> &str) -> fmt::Result {
        for (index, (item, weight)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", name(item))?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let class = |name: &str| Class::ALL.into_iter().find(|class| class.name() == name);
        Weighted::parse(text, "high=0.1,normal=0.8,low=0.1", class).map(Mix)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, |class| class.name())
    }
}

impl FromStr for Tenants {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_string());
        Weighted::parse(text, "alice=1,bob=1,flood=100", name).map(Tenants)
    }
}

impl fmt::Display for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Mix, Tenants};
    use crate::random::Random;

    #[test]
    fn classes_come_in_their_shares() {
        let mix: Mix = "high=0.1,normal=0.9".parse().expect("a mix");
        let mut random = Random::new(2, 0);
        let high = (0..20_000).filter(|_| mix.draw(&mut random) == Class::High).count();
        assert!((1_850..2_150).contains(&high), "{high}");
        assert_eq!(mix.to_string(), "high=0.1,normal=0.9");
    }

    #[test]
    fn a_flood_is_a_hundred_times_the_others() {
        let tenants: Tenants = "a,flood=100".parse().expect("tenants");
        let mut random = Random::new(2, 0);
        let others = (0..101_000).filter(|_| tenants.draw(&mut random) == "a").count();
        assert!((900..1_100).contains(&others), "{others}");
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "high", "urgent=1", "high=x", "high=-1", "high=0"] {
            if text != "high" {
                assert!(text.parse::<Mix>().expect_err(text).contains("high=0.1"));
            }
        }
        assert_eq!("high".parse::<Mix>(), Ok(Mix::only(Class::High)));
        assert!("=3".parse::<Tenants>().is_err());
        assert!("a=1,,b=1".parse::<Tenants>().is_err());
    }
}
