//! The models against numbers that were not made by them: fifty-digit arithmetic, published fits, and each other.

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
    log_likelihood: f64,
}

fn exact() -> Vec<Exact> {
    let text = std::fs::read_to_string("tests/data/customer_base_exact.csv").unwrap();
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |column: usize| cells[column].parse::<f64>().unwrap();
            let model: Model = cells[0].parse().unwrap();
            let named = |(i, name): (usize, &&str)| ((*name).to_owned(), number(1 + i));
            let params: Vec<_> = model.parameters().iter().enumerate().map(named).collect();
            Exact {
                line: at + 1,
                params: Params::from_named(model, &params).unwrap(),
                history: History { x: number(5) as u32, t_x: number(6), age: number(7) },
                t: number(8),
                p_alive: number(9),
                expected: number(10),
                p_order: number(11),
                log_likelihood: number(12),
            }
        })
        .collect()
}

#[track_caller]
fn assert_close(what: &str, line: usize, ours: f64, exact: f64, relative: f64) {
    let error = (ours / exact - 1.0).abs();
    let is_close = if exact > 1e-300 { error <= relative } else { ours <= 1e-300 };
    assert!(is_close, "{what}, line {line}: {ours:e} is not {exact:e}, off by {error:e}");
}

#[test]
fn scores_equal_fifty_digit_arithmetic() {
    let exact = exact();
    assert!(exact.len() >= 57);
    for Exact { line, params, history, t, p_alive, expected, p_order, log_likelihood } in exact {
        let outlook = params.outlook(&history);
        assert_close("P(alive)", line, outlook.p_alive(), p_alive, 1e-9);
        assert!((outlook.p_alive() - p_alive).abs() <= 1e-12, "P(alive), line {line}");
        assert_close("expected", line, outlook.expected(t), expected, 1e-8);
        assert_close("P(order)", line, outlook.p_order(t), p_order, 1e-8);
        let log = params.log_likelihood(&Histories::new([history]).unwrap());
        assert!((log - log_likelihood).abs() <= 1e-7, "ln L, line {line}: {log}");
    }
}
