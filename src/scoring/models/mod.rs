//! Models of the customer base: who is still a customer, and how many orders are to come. Pure.
//!
//! Each is fitted to a shop's [`Histories`] (x, t_x, T) and then tells, for any [`History`], P(alive), the orders
//! to be expected in any time ahead, and the probability of at least one. On real shops none of them wins always;
//! which to believe is decided elsewhere, by the shop's own past. A model knows no calendar, no money and no unit
//! of time: rates and horizons are in the unit of the histories. [`gamma_gamma`] is the model of what an order is
//! worth.
//!
//! All numbers are formed from positive terms or in logarithms, so that they hold for two thousand orders, a
//! hundred years, a = 1 and a horizon of a second alike; the tests hold them against fifty-digit arithmetic.

pub mod counts;
pub mod fit;
pub mod gamma_gamma;
pub mod geometric;
mod geometric_sums;
pub mod nbd;
pub mod pareto_nbd;
pub mod quadrature;
pub mod special;

#[cfg(test)]
mod tests;

pub use counts::{Histories, History, ImpossibleHistory};
pub use fit::FitError;
pub use gamma_gamma::{Amounts, GammaGamma};
pub use geometric::Geometric;
pub use nbd::Nbd;
pub use pareto_nbd::ParetoNbd;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The models, by what they assume of leaving and of rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Nobody leaves.
    Nbd,
    /// One leaves after an order, but not after the first.
    BgNbd,
    /// One leaves after an order.
    MbgNbd,
    /// One leaves at any time.
    ParetoNbd,
    /// BG/NBD with gaps as regular as the shop shows.
    BgCnbdK,
    /// MBG/NBD with gaps as regular as the shop shows.
    MbgCnbdK,
}

impl Model {
    pub const ALL: [Self; 6] =
        [Self::Nbd, Self::BgNbd, Self::MbgNbd, Self::ParetoNbd, Self::BgCnbdK, Self::MbgCnbdK];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nbd => "nbd",
            Self::BgNbd => "bg_nbd",
            Self::MbgNbd => "mbg_nbd",
            Self::ParetoNbd => "pareto_nbd",
            Self::BgCnbdK => "bg_cnbd_k",
            Self::MbgCnbdK => "mbg_cnbd_k",
        }
    }

    /// The names of its parameters, as in the papers. With k, that one is a whole number.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Nbd => &["r", "alpha"],
            Self::BgNbd | Self::MbgNbd => &["r", "alpha", "a", "b"],
            Self::ParetoNbd => &["r", "alpha", "s", "beta"],
            Self::BgCnbdK | Self::MbgCnbdK => &["r", "alpha", "a", "b", "k"],
        }
    }

    /// The parameters under which the shop's histories are most likely. It ends on any shop: where nothing tells of
    /// dropout, with parameters under which nobody leaves and the likelihood of a model without it.
    pub fn fit(self, histories: &Histories) -> Result<Fitted, FitError> {
        let (params, log_likelihood) = match self {
            Self::Nbd => Nbd::fit(histories).map(|(params, log)| (Params::Nbd(params), log)),
            Self::BgNbd => Geometric::fit(histories, 1).map(|(p, log)| (Params::BgNbd(p), log)),
            Self::MbgNbd => Geometric::fit(histories, 1).map(|(p, log)| (Params::MbgNbd(p), log)),
            Self::ParetoNbd => {
                ParetoNbd::fit(histories).map(|(p, log)| (Params::ParetoNbd(p), log))
            }
            Self::BgCnbdK => {
                Geometric::fit_regular(histories).map(|(p, log)| (Params::BgCnbdK(p), log))
            }
            Self::MbgCnbdK => {
                Geometric::fit_regular(histories).map(|(p, log)| (Params::MbgCnbdK(p), log))
            }
        }?;
        Ok(Fitted { params, log_likelihood })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no model; there are nbd, bg_nbd, mbg_nbd, pareto_nbd, bg_cnbd_k and mbg_cnbd_k")]
pub struct UnknownModel(String);

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let named = |model: &Self| model.as_str() == raw;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownModel(raw.to_owned()))
    }
}

/// What a fit found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    pub params: Params,
    /// Of the times of the orders, so that models compare: without the factor 1/x!.
    pub log_likelihood: f64,
}

/// A model with its parameters: what a shop's customers are scored by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "snake_case")]
pub enum Params {
    Nbd(Nbd),
    BgNbd(Geometric<false>),
    MbgNbd(Geometric<true>),
    ParetoNbd(ParetoNbd),
    BgCnbdK(Geometric<false>),
    MbgCnbdK(Geometric<true>),
}

/// Why numbers are not a model's parameters.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParamsError {
    #[error("{model} has the parameters {}: `{name}` is none of them", .model.parameters().join(", "))]
    Unknown { model: Model, name: String },
    #[error("{model} has the parameters {}: {name} is missing", .model.parameters().join(", "))]
    Missing { model: Model, name: &'static str },
    #[error("{name} is given twice")]
    Twice { name: &'static str },
    #[error("{name} must be a positive number, not {value}")]
    NotPositive { name: &'static str, value: f64 },
    #[error("k must be a whole number from 1 to {}, not {value}", geometric::MAX_K)]
    Regularity { value: f64 },
}

impl Params {
    pub fn model(&self) -> Model {
        match self {
            Self::Nbd(_) => Model::Nbd,
            Self::BgNbd(_) => Model::BgNbd,
            Self::MbgNbd(_) => Model::MbgNbd,
            Self::ParetoNbd(_) => Model::ParetoNbd,
            Self::BgCnbdK(_) => Model::BgCnbdK,
            Self::MbgCnbdK(_) => Model::MbgCnbdK,
        }
    }

    /// Each parameter with its name, in the order of [`Model::parameters`].
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let values = match *self {
            Self::Nbd(Nbd { r, alpha }) => vec![r, alpha],
            Self::ParetoNbd(ParetoNbd { r, alpha, s, beta }) => vec![r, alpha, s, beta],
            Self::BgNbd(Geometric { r, alpha, a, b, k })
            | Self::BgCnbdK(Geometric { r, alpha, a, b, k }) => {
                vec![r, alpha, a, b, f64::from(k)]
            }
            Self::MbgNbd(Geometric { r, alpha, a, b, k })
            | Self::MbgCnbdK(Geometric { r, alpha, a, b, k }) => {
                vec![r, alpha, a, b, f64::from(k)]
            }
        };
        self.model().parameters().iter().copied().zip(values).collect()
    }

    /// From names and values, in any order: each of the model's parameters once.
    pub fn from_named(model: Model, given: &[(String, f64)]) -> Result<Self, ParamsError> {
        let names = model.parameters();
        if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(ParamsError::Unknown { model, name: name.clone() });
        }
        let mut values = [1.0; 5];
        for (slot, name) in values.iter_mut().zip(names) {
            let mut found = given.iter().filter(|(given, _)| given == name);
            let value = found.next().ok_or(ParamsError::Missing { model, name })?.1;
            if found.next().is_some() {
                return Err(ParamsError::Twice { name });
            }
            if *name == "k"
                && !(value.fract() == 0.0 && (1.0..=geometric::MAX_K as f64).contains(&value))
            {
                return Err(ParamsError::Regularity { value });
            }
            if !(value > 0.0 && value.is_finite()) {
                return Err(ParamsError::NotPositive { name, value });
            }
            *slot = value;
        }
        let [r, alpha, third, fourth, k] = values;
        Ok(match model {
            Model::Nbd => Self::Nbd(Nbd { r, alpha }),
            Model::ParetoNbd => Self::ParetoNbd(ParetoNbd { r, alpha, s: third, beta: fourth }),
            Model::BgNbd => Self::BgNbd(Geometric { r, alpha, a: third, b: fourth, k: 1 }),
            Model::MbgNbd => Self::MbgNbd(Geometric { r, alpha, a: third, b: fourth, k: 1 }),
            Model::BgCnbdK => {
                Self::BgCnbdK(Geometric { r, alpha, a: third, b: fourth, k: k as u8 })
            }
            Model::MbgCnbdK => {
                Self::MbgCnbdK(Geometric { r, alpha, a: third, b: fourth, k: k as u8 })
            }
        })
    }

    /// ln L of the shop's histories under these parameters.
    pub fn log_likelihood(&self, histories: &Histories) -> f64 {
        match self {
            Self::Nbd(nbd) => nbd.log_likelihood(histories).0,
            Self::ParetoNbd(pareto) => pareto.log_likelihood(histories).0,
            Self::BgNbd(bg) | Self::BgCnbdK(bg) => bg.log_likelihood(histories).0,
            Self::MbgNbd(mbg) | Self::MbgCnbdK(mbg) => mbg.log_likelihood(histories).0,
        }
    }

    /// What is known of one customer's future. The parts that are the same for every horizon are worked out here,
    /// once.
    pub fn outlook(&self, history: &History) -> Outlook {
        match self {
            Self::Nbd(nbd) => Outlook::Nbd(nbd.outlook(history)),
            Self::ParetoNbd(pareto) => Outlook::ParetoNbd(pareto.outlook(history)),
            Self::BgNbd(bg) | Self::BgCnbdK(bg) => Outlook::Geometric(bg.outlook(history)),
            Self::MbgNbd(mbg) | Self::MbgCnbdK(mbg) => Outlook::Geometric(mbg.outlook(history)),
        }
    }
}

/// One customer's future under a model, from T on.
///
/// ```
/// use homing::scoring::models::{Geometric, History, Params};
///
/// // Fader & Hardie's spreadsheet note on the BG/NBD: two repeat orders, the last in week 30.43 of 38.86.
/// let cdnow = Params::BgNbd(Geometric { r: 0.243, alpha: 4.414, a: 0.793, b: 2.426, k: 1 });
/// let outlook = cdnow.outlook(&History { x: 2, t_x: 30.43, age: 38.86 });
/// assert!((outlook.expected(39.0) - 1.226).abs() < 1e-3);
/// assert!((outlook.p_alive() - 0.7266).abs() < 1e-4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outlook {
    Nbd(nbd::Outlook),
    Geometric(geometric::Outlook),
    ParetoNbd(pareto_nbd::Outlook),
}

impl Outlook {
    /// P(still a customer at T).
    pub fn p_alive(&self) -> f64 {
        match self {
            Self::Nbd(_) => 1.0,
            Self::Geometric(outlook) => outlook.p_alive,
            Self::ParetoNbd(outlook) => outlook.p_alive,
        }
    }

    /// E[orders in (T, T+t]], P(alive) in it.
    pub fn expected(&self, t: f64) -> f64 {
        match self {
            Self::Nbd(outlook) => outlook.expected(t),
            Self::Geometric(outlook) => outlook.expected(t),
            Self::ParetoNbd(outlook) => outlook.expected(t),
        }
    }

    /// E[orders in (T+from, T+to]].
    pub fn expected_between(&self, from: f64, to: f64) -> f64 {
        match self {
            Self::Nbd(outlook) => outlook.expected(to - from),
            Self::Geometric(outlook) => (outlook.expected(to) - outlook.expected(from)).max(0.0),
            Self::ParetoNbd(outlook) => outlook.expected_between(from, to),
        }
    }

    /// P(at least one order in (T, T+t]).
    pub fn p_order(&self, t: f64) -> f64 {
        self.p_order_between(0.0, t)
    }

    /// P(at least one order in (T+from, T+to]), whatever happens before.
    pub fn p_order_between(&self, from: f64, to: f64) -> f64 {
        match self {
            Self::Nbd(outlook) => outlook.p_order_between(from, to),
            Self::Geometric(outlook) => outlook.p_order_between(from, to),
            Self::ParetoNbd(outlook) => outlook.p_order_between(from, to),
        }
    }
}
