use serde_json::{Value, json};

use super::*;

fn measured(rows: &[Row], models: Option<&Models>) -> Value {
    report(rows, models).into_json()
}

fn models() -> Models {
    Models { weak: "w".into(), strong: "s".into(), prices: Prices { weak: 1.0, strong: 25.0 } }
}

#[test]
fn the_difficulty_is_who_fails_where_enough_tried() {
    let outcomes = |n: usize| (0..n).map(|model| (model.to_string(), f64::from(u8::from(model < 1)))).collect();
    assert_eq!((failing(&outcomes(5)), failing(&outcomes(4))), (Some(0.8), None));
}

#[test]
fn parts_of_the_field_count_where_they_are_known() {
    let row = |domain_right| Row { domain_right, ..Row::default() };
    let json = measured(&[row(Some(true)), row(Some(false)), row(Some(true)), row(None), row(Some(true))], None);
    assert_eq!((&json["n"], &json["domain"]["n"], &json["domain"]["accuracy"]), (&json!(5), &json!(4), &json!(0.75)));
    assert!(json["note"].is_string() && json.get("routing").is_none(), "{json}");
    assert!(json.get("difficulty").is_none() && json.get("p_solve").is_none(), "{json}");
}

/// A source in which the expert ranks right (1) or the wrong way round (-1), and so for the length (0: all alike).
fn source(name: &str, rows: u8, expert: f64, length: f64) -> Vec<Row> {
    let row = |difficulty: f64| Row {
        source: Some(name.into()),
        difficulty: Some(difficulty),
        expert: Expert { difficulty: expert * difficulty, ..Expert::default() },
        length: length * difficulty,
        ..Row::default()
    };
    (0..rows).map(|number| row(f64::from(number))).collect()
}

#[test]
fn difficulty_is_ranked_within_sources() {
    let rows = [source("a", 25, 1.0, -1.0), source("b", 50, -1.0, 0.0), source("few", 24, 1.0, 1.0)].concat();
    let json = &measured(&rows, None)["difficulty"];
    assert_eq!(json["n"], 75);
    // (25 - 50) / 75; every resample ranks as the whole does.
    assert_eq!((&json["expert"], &json["expert_ci95"]), (&json!(-0.333333), &json!([-0.333333, -0.333333])));
    // Undefined in `b`.
    assert_eq!((&json["length"], &json["expert_minus_length"]), (&json!(-1.0), &json!(2.0)));
    assert_eq!(json["brain_flash"], Value::Null);
    let by_source = &json["by_source"];
    assert_eq!((&by_source["b"]["n"], &by_source["b"]["expert"]), (&json!(50), &json!(-1.0)));
    assert_eq!(by_source["b"]["length"], Value::Null);
    assert!(by_source.get("few").is_none(), "{json}");
}

#[test]
fn chances_are_measured_model_by_model() {
    let row = |index: usize, p: f64, outcome: f64| {
        let named = |value: f64| ["m", "few", "unknown"].map(|model| (model.to_owned(), value));
        let mut outcomes = BTreeMap::from(named(outcome));
        if index == 0 {
            outcomes.remove("few");
        }
        let p_solve = named(p).into_iter().filter(|(model, _)| model != "unknown").collect();
        Row { outcomes, expert: Expert { p_solve, ..Expert::default() }, ..Row::default() }
    };
    let said = [[(0.8, 1.0); 60].as_slice(), &[(0.8, 0.0); 20], &[(0.2, 0.0); 20]].concat();
    let rows: Vec<Row> = said.into_iter().enumerate().map(|(index, (p, outcome))| row(index, p, outcome)).collect();
    let json = &measured(&rows, None)["p_solve"];
    assert_eq!((&json["models"], &json["outcomes"]), (&json!(1), &json!(100)));
    // 60 * (20 / 2 + 20) of 60 * 40 pairs; 60 * 0.04 + 20 * 0.64 + 20 * 0.04; |64 - 60| + |4 - 0|.
    assert_eq!((&json["auc"], &json["brier"], &json["ece"]), (&json!(0.75), &json!(0.16), &json!(0.08)));
    assert_eq!(json["by_model"]["m"], json!({"n": 100, "auc": 0.75, "brier": 0.16}));
    assert!(json["auc_ci95"][0].as_f64() < Some(0.75) && json["auc_ci95"][1].as_f64() > Some(0.75), "{json}");
}

/// Weak solves the first two, strong all but the second; longest first. The expert orders them
/// 2, 3, 0, 1; the intent mind sends `sent`.
fn pairs(sent: [usize; 2]) -> Vec<Row> {
    let row = |index: usize, (weak, strong, need): (f64, f64, f64)| Row {
        length: 10.0 - index as f64,
        outcomes: BTreeMap::from([("w".to_owned(), weak), ("s".to_owned(), strong)]),
        expert: Expert {
            p_solve: BTreeMap::from([("w".to_owned(), 0.1), ("s".to_owned(), 0.1 + need)]),
            difficulty: 0.0,
        },
        brain: Brain { complexity: 0.5, simple: !sent.contains(&index) },
        ..Row::default()
    };
    let mut rows: Vec<Row> = [(1.0, 1.0, 0.2), (1.0, 0.0, 0.1), (0.0, 1.0, 0.9), (0.0, 1.0, 0.8)]
        .into_iter()
        .enumerate()
        .map(|(index, row_of)| row(index, row_of))
        .collect();
    // Without one of the models it cannot be routed.
    rows.push(Row { outcomes: BTreeMap::from([("w".to_owned(), 1.0)]), ..rows[0].clone() });
    rows
}

#[test]
fn what_reaching_the_intent_minds_rate_costs() {
    let json = &measured(&pairs([0, 2]), Some(&models()))["routing"];
    assert_eq!((&json["n"], &json["weak_accuracy"], &json["strong_accuracy"]), (&json!(4), &json!(0.5), &json!(0.75)));
    assert_eq!((&json["weak"], &json["strong_price"]), (&json!("w"), &json!(25.0)));
    let apgr = &json["apgr"];
    assert_eq!((&apgr["expert"], &apgr["brain_flash"], &apgr["random"]), (&json!(1.375), &json!(0.5), &json!(0.5)));
    // PGR 0, 0, -1, 0, 1.
    assert_eq!((&apgr["length"], &apgr["expert_minus_length"]), (&json!(-0.125), &json!(1.5)));
    let costs = &json["cost_at_flash_rate"];
    let flash = &costs["brain_flash"];
    assert_eq!(
        (&flash["solve_rate"], &flash["strong_share"], &flash["cost"]),
        (&json!(0.75), &json!(0.5), &json!(13.0))
    );
    let of =
        |name: &str| (costs[name]["strong_share"].clone(), costs[name]["cost"].clone(), costs[name]["saving"].clone());
    // One prompt is enough: 1 + 24 / 4, of 13; by length and by chance all four.
    assert_eq!(of("expert"), (json!(0.25), json!(7.0), json!(0.461538)));
    assert_eq!(of("oracle"), of("expert"));
    assert_eq!(of("length"), (json!(1.0), json!(25.0), json!(-0.923077)));
    assert_eq!(of("random"), of("length"));
    assert_eq!(costs["expert_minus_length"], json!(1.384615));
}

#[test]
fn a_rate_never_reached_costs_the_strong_model_every_time() {
    let json = &measured(&pairs([2, 3]), Some(&models()))["routing"]["cost_at_flash_rate"];
    assert_eq!(json["brain_flash"]["solve_rate"], 1.0);
    assert_eq!((&json["length"]["reached"], &json["length"]["cost"]), (&json!(false), &json!(25.0)));
    assert_eq!((&json["expert"]["reached"], &json["expert"]["saving"]), (&json!(true), &json!(0.0)));
}
