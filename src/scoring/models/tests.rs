//! The models against numbers that were not made by them: forty-digit arithmetic, published fits, and each other.

use std::collections::BTreeMap;

use jiff::civil::Date;
use proptest::prelude::*;

use super::super::reference::{Purchase, cdnow, online_retail};
use super::*;

/// A line of `tests/data/customer_base_exact.csv`.
struct Exact {
    line: usize,
    params: Params,
    history: History,
    t: f64,
    p_alive: f64,
    expected: f64,
    p_order: f64,
    p_order_in_second_half: f64,
    log_likelihood: f64,
}

fn exact() -> Vec<Exact> {
    let text = std::fs::read_to_string("tests/data/customer_base_exact.csv").unwrap();
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |column: usize| cells[column].parse::<f64>().unwrap();
            Exact {
                line: at + 1,
                params: params(cells[0], cells[1]),
                history: History { x: number(2) as u32, t_x: number(3), age: number(4) },
                t: number(5),
                p_alive: number(6),
                expected: number(7),
                p_order: number(8),
                p_order_in_second_half: number(9),
                log_likelihood: number(10),
            }
        })
        .collect()
}

/// From `r=0.2 alpha=4 …`.
fn params(model: &str, raw: &str) -> Params {
    let named = |raw: &str| {
        let (name, value) = raw.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    let given: Vec<_> = raw.split_whitespace().map(named).collect();
    Params::from_named(model.parse().unwrap(), &given).unwrap()
}

#[track_caller]
fn assert_close(what: &str, line: usize, ours: f64, exact: f64, relative: f64) {
    let error = (ours / exact - 1.0).abs();
    let is_close = if exact > 1e-300 { error <= relative } else { ours <= 1.1e-300 };
    assert!(is_close, "{what}, line {line}: {ours:e} is not {exact:e}, off by {error:e}");
}

#[test]
fn scores_equal_forty_digit_arithmetic() {
    let exact = exact();
    assert!(exact.len() > 200);
    for row in exact {
        let Exact { line, params, history, t, .. } = row;
        let outlook = params.outlook(&history);
        assert_close("P(alive)", line, outlook.p_alive(), row.p_alive, 1e-10);
        assert!((outlook.p_alive() - row.p_alive).abs() <= 1e-12, "P(alive), line {line}");
        assert_close("expected", line, outlook.expected(t), row.expected, 1e-10);
        assert_close("P(order)", line, outlook.p_order(t), row.p_order, 1e-10);
        let second_half = outlook.p_order_between(0.5 * t, t);
        assert_close("P(order later)", line, second_half, row.p_order_in_second_half, 1e-10);
        let log = params.log_likelihood(&Histories::new([history]).unwrap());
        let error = (log - row.log_likelihood).abs();
        assert!(error <= 1e-9 * row.log_likelihood.abs().max(1.0), "ln L, line {line}: {log}");
    }
}

/// Each customer's orders until `cut`, a day's merged, in weeks; and, of repeat days, their number and mean amount.
struct Shop {
    histories: Vec<History>,
    ln_gaps: f64,
    repeat_amounts: Vec<(u32, f64)>,
}

impl Shop {
    fn of(purchases: &[Purchase], cut: &str) -> Self {
        let cut: Date = cut.parse().unwrap();
        let mut by_customer: BTreeMap<i64, BTreeMap<Date, f64>> = BTreeMap::new();
        for (customer, day, cents) in purchases.iter().filter(|(_, day, _)| *day <= cut) {
            let days = by_customer.entry(*customer).or_default();
            *days.entry(*day).or_default() += *cents as f64 / 100.0;
        }
        let weeks = |from: Date, to: Date| f64::from((to - from).get_days()) / 7.0;
        let mut shop = Self { histories: vec![], ln_gaps: 0.0, repeat_amounts: vec![] };
        for days in by_customer.values() {
            let dates: Vec<Date> = days.keys().copied().collect();
            let (first, last) = (dates[0], dates[dates.len() - 1]);
            let x = dates.len() as u32 - 1;
            let history = History { x, t_x: weeks(first, last), age: weeks(first, cut) };
            shop.histories.push(history);
            shop.ln_gaps += dates.windows(2).map(|pair| weeks(pair[0], pair[1]).ln()).sum::<f64>();
            if x > 0 {
                let repeats: f64 = days.values().skip(1).sum();
                shop.repeat_amounts.push((x, repeats / f64::from(x)));
            }
        }
        shop
    }

    fn grouped(&self) -> Histories {
        let histories = Histories::new(self.histories.iter().copied()).unwrap();
        histories.with_ln_gaps(self.ln_gaps)
    }

    /// P(alive), expected orders and P(at least one order) within `t`, summed over all.
    fn sums(&self, params: &Params, t: f64) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for history in &self.histories {
            let outlook = params.outlook(history);
            let scores = [outlook.p_alive(), outlook.expected(t), outlook.p_order(t)];
            (0..3).for_each(|i| sums[i] += scores[i]);
        }
        sums
    }
}

#[track_caller]
fn assert_fit(
    shop: &Shop,
    model: Model,
    expected: &[f64],
    log_likelihood: f64,
    sums: Option<(f64, [f64; 3])>,
) {
    let fitted = model.fit(&shop.grouped()).unwrap();
    let short = log_likelihood - fitted.log_likelihood;
    assert!(short < 0.01 && short > -0.01, "{model}: ln L is {}", fitted.log_likelihood);
    let found = fitted.params.log_likelihood(&shop.grouped());
    assert!((found - fitted.log_likelihood).abs() < 1e-6, "{model}: {found}");
    for ((name, found), wanted) in fitted.params.named().into_iter().zip(expected) {
        assert!((found / wanted - 1.0).abs() < 2e-3, "{model}: {name} is {found}");
    }
    if let Some((t, wanted)) = sums {
        for (found, wanted) in shop.sums(&fitted.params, t).into_iter().zip(wanted) {
            assert!((found / wanted - 1.0).abs() < 1e-3, "{model}: {found} for {wanted}");
        }
    }
}

#[test]
fn cdnow_is_fitted_as_published() {
    let shop = Shop::of(&cdnow(), "1997-09-30");
    assert_eq!(shop.histories.len(), 2_357);
    let fits = |model, params: &[f64], log_likelihood, sums: [f64; 3]| {
        assert_fit(&shop, model, params, log_likelihood, Some((39.0, sums)));
    };
    assert_fit(&shop, Model::Nbd, &[0.38477, 12.07202], -9763.6576, None);
    let bg = [0.242_594_5, 4.413_602, 0.792_921_9, 2.425_906_4, 1.0];
    fits(Model::BgNbd, &bg[..4], -9582.4292, [1917.2777, 1653.4087, 617.0341]);
    fits(Model::BgCnbdK, &bg, -9582.4292, [1917.2777, 1653.4087, 617.0341]);
    let mbg = [0.524_843_2, 6.183_086, 0.891_359_3, 1.614_001_7, 1.0];
    fits(Model::MbgNbd, &mbg[..4], -9582.1357, [1057.6362, 1576.7283, 565.7418]);
    fits(Model::MbgCnbdK, &mbg, -9582.1357, [1057.6362, 1576.7283, 565.7418]);
    let pareto = [0.553_277, 10.577_683, 0.606_24, 11.668_736];
    fits(Model::ParetoNbd, &pareto, -9594.9762, [1051.8752, 1665.5131, 523.1737]);
}

#[test]
fn where_nobody_seems_to_leave_a_fit_ends_as_the_nbd() {
    let shop = Shop::of(&online_retail(), "2011-06-09");
    assert_eq!(shop.histories.len(), 2_800);
    assert_fit(&shop, Model::Nbd, &[0.741_636, 8.736_7], -13255.6134, None);
    for model in [Model::BgNbd, Model::MbgNbd, Model::ParetoNbd] {
        let sums = [2_800.0, 6_179.8, 1_794.6];
        assert_fit(&shop, model, &[0.741_636, 8.736_7], -13255.6134, Some((26.0, sums)));
    }
}

#[test]
fn a_shop_with_a_rhythm_has_two_stages() {
    let shop = Shop::of(&online_retail(), "2011-06-09");
    let bg = [0.771_318_2, 3.765_290_6, 0.057_551_3, 0.837_188, 2.0];
    let sums = [2_659.829, 6424.3626, 1849.1638];
    assert_fit(&shop, Model::BgCnbdK, &bg, -12937.8213, Some((26.0, sums)));
    let mbg = [0.852_997_6, 4.004_554_3, 0.120_154_5, 2.163_080_9, 2.0];
    let sums = [2545.6501, 6_405.716, 1846.7072];
    assert_fit(&shop, Model::MbgCnbdK, &mbg, -12946.0816, Some((26.0, sums)));
}

#[test]
fn spend_is_fitted_as_published() {
    let cdnow = Shop::of(&cdnow(), "1997-09-30");
    let retail = Shop::of(&online_retail(), "2011-06-09");
    let cases = [
        (&cdnow, 946, [6.249_571, 3.744_225, 15.443_526], -4055.9177),
        (&retail, 1_412, [3.128_379, 3.115_777, 284.576_3], -9686.1585),
    ];
    for (shop, customers, wanted, log_likelihood) in cases {
        assert_eq!(shop.repeat_amounts.len(), customers);
        let amounts = Amounts::new(shop.repeat_amounts.iter().copied());
        let (found, log) = GammaGamma::fit(&amounts).unwrap();
        assert!((log - log_likelihood).abs() < 0.01, "{log}");
        for (found, wanted) in [found.p, found.q, found.v].into_iter().zip(wanted) {
            assert!((found / wanted - 1.0).abs() < 2e-3, "{found} for {wanted}");
        }
    }
}

#[test]
fn a_shop_that_tells_nothing_is_an_error_by_name() {
    let of = |histories: &[(u32, f64, f64)]| {
        let history = |&(x, t_x, age): &(u32, f64, f64)| History { x, t_x, age };
        Histories::new(histories.iter().map(history)).unwrap()
    };
    let cases = [
        (of(&[]), FitError::TooFewCustomers),
        (of(&[(3, 5.0, 9.0)]), FitError::TooFewCustomers),
        (of(&[(0, 0.0, 5.0), (0, 0.0, 9.0)]), FitError::NoRepeatOrders),
        (of(&[(1, 0.0, 0.0), (2, 0.0, 0.0)]), FitError::NoTime),
    ];
    for (histories, error) in cases {
        for model in Model::ALL {
            assert_eq!(model.fit(&histories).unwrap_err(), error, "{model}");
        }
    }
    let no_gaps = of(&[(1, 2.0, 5.0), (0, 0.0, 9.0)]);
    assert_eq!(Model::BgCnbdK.fit(&no_gaps).unwrap_err(), FitError::NoGaps);
    let no_amounts = Amounts::new([(0, 5.0), (3, 0.0), (2, -1.0), (1, 4.0)]);
    assert_eq!(GammaGamma::fit(&no_amounts).unwrap_err(), FitError::TooFewAmounts);
}

#[test]
fn impossible_histories_are_refused() {
    for (x, t_x, age) in [(1, 3.0, 2.0), (0, 1.0, 2.0), (1, -1.0, 2.0), (1, f64::NAN, 2.0)] {
        assert!(Histories::new([History { x, t_x, age }]).is_err(), "{x} {t_x} {age}");
    }
    assert!(History { x: 0, t_x: 0.0, age: f64::INFINITY }.check().is_err());
}

#[test]
fn counts_weigh_as_so_many_customers() {
    let one = History { x: 2, t_x: 3.0, age: 9.0 };
    let two = History { x: 0, t_x: 0.0, age: 5.0 };
    let each = Histories::new([one, two, one, one, two]).unwrap();
    let counted = Histories::weighted([(two, 2.0), (one, 3.0)]).unwrap();
    assert_eq!(each.kinds(), 2);
    assert_eq!((each.customers(), each.repeat_orders(), each.observed()), (5.0, 6.0, 37.0));
    assert_eq!(each.iter().collect::<Vec<_>>(), counted.iter().collect::<Vec<_>>());
}

#[test]
fn a_large_shop_has_the_likelihood_of_its_parts() {
    let history = |i: u32| {
        let age = f64::from(i % 701);
        let x = i % 7;
        History { x, t_x: if x == 0 { 0.0 } else { age / f64::from(1 + i % 3) }, age }
    };
    let all: Vec<History> = (0..200_000).map(history).collect();
    let params = params("pareto_nbd", "r=0.8 alpha=60 s=0.5 beta=90");
    let whole = params.log_likelihood(&Histories::new(all.iter().copied()).unwrap());
    let part = |histories: &[History]| {
        params.log_likelihood(&Histories::new(histories.iter().copied()).unwrap())
    };
    let parts: f64 = all.chunks(1_000).map(part).sum();
    assert!((whole / parts - 1.0).abs() < 1e-12);
}

#[test]
fn parameters_keep_their_names() {
    for model in Model::ALL {
        let given: Vec<(String, f64)> = model
            .parameters()
            .iter()
            .zip(1..)
            .map(|(name, i)| ((*name).to_owned(), f64::from(i)))
            .collect();
        let params = Params::from_named(model, &given).unwrap();
        let named: Vec<(String, f64)> =
            params.named().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!((params.model(), &named), (model, &given));
        assert_eq!(model.as_str().parse::<Model>().unwrap(), model);
        let json = serde_json::to_string(&params).unwrap();
        assert!(json.starts_with(&format!("{{\"model\":\"{model}\"")), "{json}");
        assert_eq!(serde_json::from_str::<Params>(&json).unwrap(), params);
    }
    assert!("bgnbd".parse::<Model>().unwrap_err().to_string().contains("bg_nbd"));
}

#[test]
fn wrong_parameters_are_named() {
    let error = |model, given: &[(&str, f64)]| {
        let given: Vec<_> =
            given.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Params::from_named(model, &given).unwrap_err().to_string()
    };
    assert_eq!(
        error(Model::Nbd, &[("r", 1.0)]),
        "nbd has the parameters r, alpha: alpha is missing"
    );
    let message = "nbd has the parameters r, alpha: `s` is none of them";
    assert_eq!(error(Model::Nbd, &[("r", 1.0), ("s", 1.0)]), message);
    let twice = [("r", 1.0), ("alpha", 2.0), ("r", 1.0)];
    assert_eq!(error(Model::Nbd, &twice), "r is given twice");
    let message = "alpha must be a positive number, not -2";
    assert_eq!(error(Model::Nbd, &[("r", 1.0), ("alpha", -2.0)]), message);
    let with_k = [("r", 1.0), ("alpha", 1.0), ("a", 1.0), ("b", 1.0), ("k", 2.5)];
    assert_eq!(error(Model::BgCnbdK, &with_k), "k must be a whole number from 1 to 12, not 2.5");
}

#[test]
fn the_next_to_nothing_ahead_is_a_rate() {
    let history = History { x: 4, t_x: 20.0, age: 31.0 };
    for params in some_params() {
        let outlook = params.outlook(&history);
        assert_eq!((outlook.expected(0.0), outlook.p_order(0.0)), (0.0, 0.0));
        // Short enough that two orders, or a death, within it do not count.
        let (short, shorter) = (outlook.expected(1e-7), outlook.expected(1e-8));
        assert!((short / shorter / 10.0 - 1.0).abs() < 1e-5, "{params:?}");
        assert!((outlook.p_order(1e-8) / shorter - 1.0).abs() < 1e-6, "{params:?}");
    }
}

#[test]
fn at_a_is_one_and_s_is_one_nothing_jumps() {
    let history = History { x: 3, t_x: 12.0, age: 20.0 };
    for model in ["bg_nbd", "mbg_nbd", "pareto_nbd"] {
        let (third, fourth) = if model == "pareto_nbd" { ("s", "beta") } else { ("a", "b") };
        let expected = |third_value: f64| {
            let raw = format!("r=0.5 alpha=6 {third}={third_value:?} {fourth}=3");
            params(model, &raw).outlook(&history).expected(30.0)
        };
        let (below, at, above) = (expected(1.0 - 1e-9), expected(1.0), expected(1.0 + 1e-9));
        assert!(below > at && at > above, "{model}: {below} {at} {above}");
        assert!((below / above - 1.0).abs() < 1e-8, "{model}");
    }
}

#[test]
fn the_heaviest_buyers_are_scored() {
    for params in some_params() {
        for x in [1_000, 50_000, 1_000_000] {
            let outlook = params.outlook(&History { x, t_x: 207.9, age: 208.0 });
            let expected = outlook.expected(52.0);
            assert!(expected > 0.0 && expected.is_finite(), "{params:?}, x = {x}: {expected}");
            assert!((0.0..=1.0).contains(&outlook.p_alive()), "{params:?}, x = {x}");
        }
    }
}

#[test]
fn who_just_ordered_is_worth_more_than_who_is_silent() {
    let silent = History { x: 5, t_x: 20.0, age: 38.0 };
    for params in some_params().into_iter().filter(|params| params.model() != Model::Nbd) {
        let then = params.outlook(&silent.as_of_last_order()).expected(52.0);
        let now = params.outlook(&silent).expected(52.0);
        assert!(then > now && now > 0.0, "{params:?}: {then} then, {now} now");
    }
}

#[test]
fn one_stage_per_gap_is_no_rhythm() {
    let history = History { x: 3, t_x: 12.0, age: 20.0 };
    let plain = params("mbg_nbd", "r=0.5 alpha=6 a=0.9 b=1.6").outlook(&history);
    let regular = params("mbg_cnbd_k", "r=0.5 alpha=6 a=0.9 b=1.6 k=1").outlook(&history);
    assert_eq!(plain, regular);
}

#[test]
fn a_customer_with_a_rhythm_is_missed_sooner() {
    // Ten orders, a week apart: with k = 4 a silence of eight weeks says much more.
    let p_alive = |k: u32, silence: f64| {
        let raw = format!("r=1 alpha={} a=0.5 b=5 k={k}", 2 * k);
        let history = History { x: 10, t_x: 10.0, age: 10.0 + silence };
        params("bg_cnbd_k", &raw).outlook(&history).p_alive()
    };
    assert!(p_alive(4, 0.3) > p_alive(1, 0.3));
    assert!(p_alive(4, 8.0) < 0.5 * p_alive(1, 8.0));
}

/// One of each model, as shops have them.
fn some_params() -> Vec<Params> {
    vec![
        params("nbd", "r=0.4 alpha=12"),
        params("bg_nbd", "r=0.243 alpha=4.414 a=0.793 b=2.426"),
        params("mbg_nbd", "r=0.525 alpha=6.183 a=0.891 b=1.614"),
        params("pareto_nbd", "r=0.553 alpha=10.578 s=0.606 beta=11.669"),
        params("bg_cnbd_k", "r=0.77 alpha=3.77 a=0.06 b=0.84 k=1"),
        params("mbg_cnbd_k", "r=0.85 alpha=4 a=0.12 b=2.16 k=1"),
    ]
}

fn any_history() -> impl Strategy<Value = History> {
    (prop_oneof![Just(0_u32), 0..4_u32, 0..300_u32], 0.0..1.0_f64, 0.1..200.0_f64)
        .prop_map(|(x, share, age)| History { x, t_x: if x == 0 { 0.0 } else { share * age }, age })
}

/// Parameters from e⁻⁴ to e⁴, of a model chosen by number.
fn any_params() -> impl Strategy<Value = Params> {
    (0..6_usize, prop::array::uniform4(-4.0..4.0_f64), 1..5_u8).prop_map(|(model, logs, k)| {
        let model = Model::ALL[model];
        let values = logs.iter().map(|log| log.exp()).chain([f64::from(k)]);
        let named = model.parameters().iter().map(|name| (*name).to_owned()).zip(values);
        Params::from_named(model, &named.collect::<Vec<_>>()).unwrap()
    })
}

/// ln L and its gradient by the logarithms of the parameters.
fn with_gradient(params: &Params, histories: &Histories) -> (f64, Vec<f64>) {
    fn some<const N: usize>((log, gradient): (f64, [f64; N])) -> (f64, Vec<f64>) {
        (log, gradient.to_vec())
    }
    match params {
        Params::Nbd(nbd) => some(nbd.log_likelihood(histories)),
        Params::ParetoNbd(pareto) => some(pareto.log_likelihood(histories)),
        Params::BgNbd(bg) | Params::BgCnbdK(bg) => some(bg.log_likelihood(histories)),
        Params::MbgNbd(mbg) | Params::MbgCnbdK(mbg) => some(mbg.log_likelihood(histories)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gradients_are_those_of_the_likelihood(
        params in any_params(),
        histories in prop::collection::vec(any_history(), 1..8),
    ) {
        let histories = Histories::new(histories).unwrap().with_ln_gaps(3.0);
        let (log, gradient) = with_gradient(&params, &histories);
        let named = params.named();
        for (i, slope) in gradient.into_iter().enumerate() {
            let width = 1e-4_f64;
            let moved = |by: f64| {
                let change = |(j, (name, value)): (usize, &(&str, f64))| {
                    ((*name).to_owned(), if i == j { value * by.exp() } else { *value })
                };
                let given: Vec<_> = named.iter().enumerate().map(change).collect();
                Params::from_named(params.model(), &given).unwrap().log_likelihood(&histories)
            };
            let difference = (moved(width) - moved(-width)) / (2.0 * width);
            let close = 1e-5 * (1.0 + log.abs() + slope.abs());
            prop_assert!((difference - slope).abs() < close, "{}: {slope} is not {difference}", named[i].0);
        }
    }

    #[test]
    fn probabilities_and_expectations_are_in_order(
        params in any_params(), history in any_history(), t in 1e-3..500.0_f64, part in 0.0..1.0_f64,
    ) {
        let outlook = params.outlook(&history);
        let slack = 1.0 + 1e-9;
        let (p_alive, expected, p_order) = (outlook.p_alive(), outlook.expected(t), outlook.p_order(t));
        prop_assert!((0.0..=1.0).contains(&p_alive));
        prop_assert!(0.0 <= p_order && p_order <= p_alive * slack);
        prop_assert!(p_order <= expected * slack && expected.is_finite());
        let at = part * t;
        prop_assert!(outlook.expected(at) <= expected * slack);
        prop_assert!(outlook.p_order(at) <= p_order * slack);
        let later = outlook.p_order_between(at, t);
        prop_assert!(later <= p_order * slack && p_order <= (outlook.p_order(at) + later) * slack);
        let sum = outlook.expected(at) + outlook.expected_between(at, t);
        prop_assert!((sum - expected).abs() <= 1e-9 * expected);
        let between = outlook.expected_between(at, t);
        prop_assert!(later <= between * slack + 1e-9 * expected);
    }

    #[test]
    fn silence_never_makes_anyone_more_alive(
        params in any_params(), history in any_history(), silence in 0.0..100.0_f64,
    ) {
        let now = params.outlook(&history);
        let later = params.outlook(&History { age: history.age + silence, ..history });
        prop_assert!(later.p_alive() <= now.p_alive() * (1.0 + 1e-9));
    }

    #[test]
    fn a_fit_ends_on_any_shop(
        histories in prop::collection::vec(any_history(), 2..40), ln_gaps in -50.0..50.0_f64,
    ) {
        let histories = Histories::new(histories).unwrap().with_ln_gaps(ln_gaps);
        if histories.repeat_orders() == 0.0 {
            return Ok(());
        }
        let nbd = Model::Nbd.fit(&histories).unwrap();
        for model in Model::ALL {
            let fitted = model.fit(&histories).unwrap();
            prop_assert!(fitted.log_likelihood.is_finite(), "{model}: {fitted:?}");
            prop_assert!(fitted.log_likelihood > nbd.log_likelihood - 0.01, "{fitted:?} below {nbd:?}");
            for (name, value) in fitted.params.named() {
                prop_assert!(value > 0.0 && value.is_finite(), "{model}: {name} is {value}");
            }
            for (history, _) in histories.iter() {
                let outlook = fitted.params.outlook(&history);
                let scores = [outlook.p_alive(), outlook.expected(52.0), outlook.p_order(52.0)];
                prop_assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0));
            }
        }
    }

    #[test]
    fn a_mean_amount_lies_between_the_customers_own_and_the_shops(
        logs in prop::array::uniform3(-2.0..4.0_f64), n in 1..100_u32, mean in 0.01..1e4_f64,
    ) {
        let model = GammaGamma { p: logs[0].exp(), q: 1.01 + logs[1].exp(), v: logs[2].exp() };
        let shop = model.expected(0, 0.0).unwrap();
        let expected = model.expected(n, mean).unwrap();
        let slack = 1e-12 * (shop + mean);
        prop_assert!(expected >= shop.min(mean) - slack && expected <= shop.max(mean) + slack);
    }

    #[test]
    fn spend_is_measured_alike_in_any_currency(
        amounts in prop::collection::vec((1..20_u32, 0.1..1e3_f64), 5..60),
    ) {
        let (one, _) = GammaGamma::fit(&Amounts::new(amounts.iter().copied())).unwrap();
        let cents = amounts.iter().map(|(n, mean)| (*n, 100.0 * mean));
        let (other, _) = GammaGamma::fit(&Amounts::new(cents)).unwrap();
        for (n, mean) in amounts {
            let (Some(one), Some(other)) = (one.expected(n, mean), other.expected(n, 100.0 * mean)) else {
                continue;
            };
            prop_assert!((other / one / 100.0 - 1.0).abs() < 1e-2, "{one} {other}");
        }
    }
}

/// Chance that is the same at every run (SplitMix64), and what the models draw by it.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Gamma(shape, 1): Marsaglia & Tsang 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.uniform().powf(1.0 / shape) * self.gamma(shape + 1.0);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let radius = (-2.0 * self.uniform().ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * self.uniform()).cos();
            let v = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * normal * normal + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    /// When somebody orders until `end`, living as the model says.
    fn orders(&mut self, params: &Params, end: f64) -> Vec<f64> {
        let (r, alpha, k, at_once, beta) = match *params {
            Params::Nbd(Nbd { r, alpha }) => (r, alpha, 1, false, None),
            Params::ParetoNbd(ParetoNbd { r, alpha, .. }) => (r, alpha, 1, false, None),
            Params::BgNbd(bg) | Params::BgCnbdK(bg) => {
                (bg.r, bg.alpha, bg.k, false, Some((bg.a, bg.b)))
            }
            Params::MbgNbd(bg) | Params::MbgCnbdK(bg) => {
                (bg.r, bg.alpha, bg.k, true, Some((bg.a, bg.b)))
            }
        };
        let rate = self.gamma(r) / alpha;
        let leaves = beta.map_or(0.0, |(a, b)| {
            let (a, b) = (self.gamma(a), self.gamma(b));
            a / (a + b)
        });
        let death = match *params {
            Params::ParetoNbd(ParetoNbd { s, beta, .. }) => self.gamma(1.0) * beta / self.gamma(s),
            _ => f64::INFINITY,
        };
        let mut orders = Vec::new();
        let mut time = 0.0;
        if at_once && self.uniform() < leaves {
            return orders;
        }
        loop {
            time += self.gamma(f64::from(k)) / rate;
            if time > end.min(death) {
                return orders;
            }
            orders.push(time);
            if self.uniform() < leaves {
                return orders;
            }
        }
    }
}

#[test]
fn customers_who_live_as_a_model_says_do_what_it_predicts() {
    let all = [
        params("nbd", "r=0.8 alpha=8"),
        params("bg_nbd", "r=0.8 alpha=8 a=0.8 b=2.4"),
        params("mbg_nbd", "r=0.8 alpha=8 a=0.8 b=2.4"),
        params("pareto_nbd", "r=0.8 alpha=8 s=0.7 beta=12"),
        params("bg_cnbd_k", "r=0.8 alpha=4 a=0.5 b=4 k=3"),
        params("mbg_cnbd_k", "r=0.8 alpha=4 a=0.5 b=4 k=2"),
    ];
    let mut chance = Chance(7);
    for params in all {
        for (buys_again, customers) in [(false, 6_000), (true, 6_000)] {
            // Sums and sums of squares of what happened less what was predicted.
            let mut errors = [(0.0, 0.0); 3];
            let mut seen = 0;
            while seen < customers {
                let (age, t) = (10.0 + 30.0 * chance.uniform(), 20.0);
                let orders = chance.orders(&params, age + t);
                let x = orders.iter().filter(|at| **at <= age).count();
                if (x > 0) != buys_again {
                    continue;
                }
                seen += 1;
                let t_x = if x == 0 { 0.0 } else { orders[x - 1] };
                let outlook = params.outlook(&History { x: x as u32, t_x, age });
                let ahead = (orders.len() - x) as f64;
                let later = orders.iter().any(|at| *at > age + 0.5 * t);
                let happened = [ahead, ahead.min(1.0), f64::from(u8::from(later))];
                let predicted =
                    [outlook.expected(t), outlook.p_order(t), outlook.p_order_between(0.5 * t, t)];
                for i in 0..3 {
                    let error = happened[i] - predicted[i];
                    errors[i].0 += error;
                    errors[i].1 += error * error;
                }
            }
            for (what, (sum, squares)) in
                ["orders", "any order", "a later order"].iter().zip(errors)
            {
                // Four standard errors: one run of all these in four hundred would fail, and this run is always the
                // same.
                assert!(
                    sum.abs() < 4.0 * f64::sqrt(squares),
                    "{params:?}, {what}: {sum} of {customers}"
                );
            }
        }
    }
}
