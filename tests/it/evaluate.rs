//! `homing evaluate FILE` by the real program, on both real logs, against the published figures.

use serde_json::Value;

use crate::support::Program;

const CDNOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cdnow_sample_log.csv");
const ONLINE_RETAIL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/online_retail_orders.csv.gz");

fn report(arguments: &[&str]) -> Value {
    let program = Program::alone();
    let printed = program.must(&[&["evaluate"], arguments, &["--format", "json"]].concat());
    assert!(std::fs::read_dir(program.folder()).unwrap().next().is_none(), "no database is made");
    serde_json::from_str(&printed).unwrap()
}

fn row<'a>(report: &'a Value, model: &str) -> &'a Value {
    report["rows"].as_array().unwrap().iter().find(|row| row["model"] == model).unwrap()
}

fn close(value: &Value, to: f64, by: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - to).abs() <= by, "{value} is not within {by} of {to}");
}

fn at_most(value: &Value, most: f64) {
    assert!(value.as_f64().unwrap() <= most, "{value} is more than {most}");
}

#[test]
fn cdnow_is_judged_as_published() {
    let columns = "id=sample_id,at=date,amount=amount";
    let arguments = [
        CDNOW,
        "--split",
        "1997-09-30",
        "--horizon",
        "273",
        "--columns",
        columns,
        "--zero-amounts",
        "keep",
    ];
    let report = report(&arguments);
    assert_eq!((&report["customers"], &report["orders_in_holdout"]), (&2357.into(), &1882.into()));
    let names: Vec<&str> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["model"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "nbd",
            "bg_nbd",
            "mbg_nbd",
            "pareto_nbd",
            "bg_cnbd_k",
            "mbg_cnbd_k",
            "combined",
            "rfm_rate",
            "overdue"
        ]
    );
    // Fader, Hardie & Lee 2005: r 0.243, alpha 4.414, a 0.793, b 2.426, LL -9582.4; Pareto/NBD LL -9595.0.
    let bg = row(&report, "bg_nbd");
    close(&bg["params"]["r"], 0.24259, 0.0005);
    close(&bg["params"]["alpha"], 4.4136, 0.009);
    close(&bg["log_likelihood"], -9582.4292, 0.01);
    close(&bg["rmse"], 1.608, 0.002);
    close(&bg["auc"], 0.7569, 0.001);
    let pareto = row(&report, "pareto_nbd");
    close(&pareto["log_likelihood"], -9594.9762, 0.01);
    close(&pareto["rmse"], 1.6029, 0.002);
    close(&pareto["auc_30d"], 0.8076, 0.002);
    // Better than every single model, and than what is published of stacks of them.
    let combined = row(&report, "combined");
    at_most(&combined["log_loss"], 0.485);
    at_most(&combined["mae"], 0.7545 * 1.01);
    at_most(&combined["rmse"], 1.6029 * 1.01);
    at_most(&combined["ece_pct"], 3.0);
    at_most(&combined["ece_30d_pct"], 2.0);
    close(&combined["window80_coverage_pct"], 80.0, 3.0);
    assert!(combined["auc"].as_f64().unwrap() > 0.782);
    does_no_harm(&report);
    assert_eq!(report["against_best"]["mae"]["best_model"], "pareto_nbd");
    let rmse = &report["against_best"]["rmse"];
    let difference = combined["rmse"].as_f64().unwrap() - rmse["best"].as_f64().unwrap();
    close(&rmse["difference"], difference, 1e-12);
    assert!(rmse["standard_error"].as_f64().unwrap() > 0.0);
    assert!(report["opening"].is_null() && report["season"] == false, "the cohort is new");
    assert!(row(&report, "rfm_rate")["window80_coverage_pct"].is_null());
}

#[test]
fn online_retail_is_judged_better_than_by_any_single_model() {
    let arguments = [ONLINE_RETAIL, "--split", "2011-06-09", "--horizon", "183"];
    let report = report(&arguments);
    assert_eq!((&report["customers"], &report["orders_in_holdout"]), (&2800.into(), &6837.into()));
    close(&row(&report, "mbg_cnbd_k")["log_likelihood"], -12946.0816, 0.05);
    let combined = row(&report, "combined");
    at_most(&combined["mae"], 1.47);
    at_most(&combined["rmse"], 2.29);
    at_most(&combined["log_loss"], 0.53);
    at_most(&combined["ece_pct"], 3.0);
    assert!(combined["auc"].as_f64().unwrap() > 0.74);
    // A perfect forecast would not reach 0 either: of 280 customers a group, chance leaves about 2 %.
    close(&combined["ece_30d_noise_pct"], 1.9, 0.2);
    at_most(&combined["ece_30d_pct"], 2.0 * combined["ece_30d_noise_pct"].as_f64().unwrap());
    for deciles in ["deciles", "deciles_30d"] {
        let groups = report[deciles].as_array().unwrap();
        let customers = groups.iter().map(|group| group["customers"].as_u64().unwrap());
        assert_eq!((groups.len(), customers.sum::<u64>()), (10, 2800), "{deciles}");
    }
    does_no_harm(&report);
}

/// At most 1 % worse than the best single model in hindsight, by each headline figure.
fn does_no_harm(report: &Value) {
    for figure in ["mae", "rmse", "log_loss"] {
        let contest = &report["against_best"][figure];
        assert_eq!(contest["harm"], "none", "{figure}: {contest}");
        assert!(contest["worse_pct"].as_f64().unwrap() <= 1.0);
    }
}

#[test]
fn a_file_that_cannot_be_judged_says_why() {
    let program = Program::alone();
    program.write("orders.csv", "customer,date,total\nann,2024-01-05,10\nann,05/02/2024,10\n");
    let refused = |arguments: &[&str]| {
        let ran = program.run(&[&["evaluate", "orders.csv"], arguments].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.stderr
    };
    let split = ["--split", "2024-01-31", "--horizon", "30"];
    assert!(refused(&split).contains("orders.csv: line 3: `05/02/2024` is no time"));
    program.write("orders.csv", "customer,date,total\nann,2024-03-05,10\n");
    assert!(refused(&split).contains("nobody has ordered up to 2024-01-31"));
    program.write("orders.csv", "who,date,total\nann,2024-01-05,ten\n");
    assert!(refused(&split).contains("no column holds the customer"));
    let named = [&split[..], &["--columns", "id=who"]].concat();
    assert!(refused(&named).contains("line 2: the amount `ten` is no number"));
    assert!(refused(&["--split", "2024-01-31"]).contains("--horizon"));
    // Too small to learn from is no error: it is said.
    program.write("orders.csv", "who,date\nann,2024-01-05\nbob,2024-01-09\nann,2024-02-03\n");
    let said = program.must(&[&["evaluate", "orders.csv"], &named[..]].concat());
    assert!(said.contains("Not enough data yet (about 50 more repeat orders)"), "{said}");
}
