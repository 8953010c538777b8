use super::*;
use crate::minds::quality::{Predictor, QUESTION};

/// 400 prompts in two groups. The longer, the harder; `weak` fails what is hard, except near the meaning
/// (1, 0), where it is good; `strong` solves most.
fn rows() -> Vec<Row> {
    let mut random = SplitMix(7);
    let mut chance = move || random.below(1_000_000) as f64 / 1e6;
    (0..400)
        .map(|index| {
            let (length, angle) = (chance(), chance() * std::f64::consts::PI);
            let (mut structure, mut question) = ([0.0; STRUCTURE], [0.0; QUESTION]);
            (structure[0], question[0]) = (length as f32, length as f32);
            let known = angle < 0.6;
            let weak = if known { 0.95 } else { 0.8 - 0.7 * length };
            let strong = 0.95 - 0.2 * length;
            let outcomes = [("weak", weak), ("strong", strong)];
            Row {
                features: Features {
                    categories: vec![0.0],
                    complexity: [0.0; 3],
                    structure,
                    question,
                    embedding: Arc::from([angle.cos() as f32, angle.sin() as f32]),
                },
                outcomes: outcomes.map(|(model, p)| (model.to_owned(), f64::from(chance() < p))).into(),
                tokens: [("strong".to_owned(), 100.0 * length + 50.0)].into(),
                group: if index % 2 == 0 { "one" } else { "two" }.to_owned(),
                seen: false,
            }
        })
        .collect()
}

fn carries() -> Carries {
    Carries { near: 0.1, trust: BTreeMap::new() }
}

#[test]
fn what_is_learnt_says_who_is_needed() {
    let rows = rows();
    let all: Vec<&Row> = rows.iter().collect();
    let difficulty = difficulty(&all).unwrap();
    assert!(difficulty.weights[0] > 0.0, "longer is harder");
    let group = group(&all, &difficulty, &carries()).unwrap();
    assert_eq!(group.models, ["strong".into(), "weak".into()]);
    let predictor = Predictor { difficulty, groups: vec![group] };
    let at = |length: f32, angle: f32| {
        let mut features = rows[0].features.clone();
        (features.structure[0], features.question[0]) = (length, length);
        features.embedding = Arc::from([angle.cos(), angle.sin()]);
        predictor.foresee(&features, "m".into())
    };
    let quality = |length: f32, angle: f32, model: &str| at(length, angle).of(model).unwrap().quality;
    assert!(quality(0.9, 2.0, "weak") < quality(0.1, 2.0, "weak") - 0.2);
    assert!(quality(0.9, 0.2, "weak") > quality(0.9, 2.0, "weak") + 0.2, "it is good near there");
    assert!(at(0.9, 2.0).need("weak", "strong") > at(0.9, 0.2).need("weak", "strong"));
    let tokens = at(0.9, 2.0).of("strong").unwrap().output_tokens.unwrap();
    assert!((tokens - 140.0).abs() < 15.0, "{tokens}");
    assert_eq!(at(0.9, 2.0).of("weak").unwrap().output_tokens, None);
}

#[test]
fn held_out_prompts_measure_it() {
    let rows = rows();
    let all: Vec<&Row> = rows.iter().collect();
    let Measured { scores, carries } = measure(&all, None).unwrap();
    let (weak, near) = (scores["weak"], carries.near);
    assert_eq!(weak.n, 400);
    assert!(weak.auc.unwrap() > 0.65 && weak.brier < 0.23 && weak.ece < 0.12, "{weak:?}");
    assert!(near > 0.5 && near <= 1.0, "{near}");
}

#[test]
fn a_new_model_changes_nothing_of_the_others() {
    let rows = rows();
    let all: Vec<&Row> = rows.iter().collect();
    let shared = difficulty(&all).unwrap();
    let alone = group(&all, &shared, &carries()).unwrap();
    let mut more = rows.clone();
    more.iter_mut().for_each(|row| row.outcomes.extend([("new".to_owned(), 1.0)]));
    let beside = group(&more.iter().collect::<Vec<_>>(), &shared, &carries()).unwrap();
    let column = |group: &Group, model: &str| {
        let at = group.models.iter().position(|known| **known == *model).unwrap();
        let weights: Vec<f32> = group.weights.iter().skip(at).step_by(group.models.len()).copied().collect();
        (group.lines[at], weights)
    };
    assert_eq!(column(&alone, "weak"), column(&beside, "weak"));
    // One that never fails has a finite line.
    assert!(column(&beside, "new").0.iter().all(|value| value.is_finite()));
}

#[test]
fn too_little_is_said_to_be_too_little() {
    let rows = rows();
    let few: Vec<&Row> = rows.iter().take(99).collect();
    assert_eq!(difficulty(&few), Err(OutcomesError::TooFew { rows: 99 }));
    let shared = difficulty(&rows.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(group(&few, &shared, &carries()).err(), Some(OutcomesError::TooFew { rows: 99 }));
    let mut same = rows.clone();
    same.iter_mut().for_each(|row| row.outcomes.values_mut().for_each(|outcome| *outcome = 1.0));
    assert_eq!(difficulty(&same.iter().collect::<Vec<_>>()), Err(OutcomesError::NoDifficulty));
}

/// Outcomes of the rows by lot, whatever the prompt.
fn by_lot(rows: &mut [Row]) {
    let mut random = SplitMix(11);
    for row in rows {
        row.outcomes = [("lucky".to_owned(), random.below(2) as f64)].into();
    }
}

#[test]
fn what_likeness_adds_counts_as_far_as_it_came_true() {
    let mut rows = rows();
    let trust = |rows: &[Row], model: &str| {
        let measured = measure(&rows.iter().collect::<Vec<_>>(), None).unwrap();
        measured.carries.trust[model]
    };
    assert!(trust(&rows, "weak") > 0.5, "{}", trust(&rows, "weak"));
    by_lot(&mut rows);
    assert!(trust(&rows, "lucky") < 0.2, "{}", trust(&rows, "lucky"));
    // What is not trusted is not added.
    let all: Vec<&Row> = rows.iter().collect();
    let shared = difficulty(&all).unwrap();
    let none = Carries { near: 0.1, trust: [("lucky".to_owned(), 0.0)].into() };
    assert!(group(&all, &shared, &none).unwrap().weights.iter().all(|weight| *weight == 0.0));
}

#[test]
fn a_sign_never_makes_a_prompt_easier_and_length_speaks_where_none_does() {
    let mut rows = rows();
    rows.iter_mut().for_each(|row| row.features.question[1] = 1.0 - row.features.question[0]);
    let learnt = difficulty(&rows.iter().collect::<Vec<_>>()).unwrap();
    assert!(learnt.weights[0] > 0.0 && learnt.weights[1] == 0.0, "{:?}", learnt.weights);
    // The longer one is answered better here: no reason to expect that elsewhere.
    for row in &mut rows {
        row.features.question[1] = 0.0;
        row.outcomes = [("odd".to_owned(), f64::from(row.features.question[0]))].into();
    }
    let learnt = difficulty(&rows.iter().collect::<Vec<_>>()).unwrap();
    assert!(learnt.weights[0] > 0.0, "{:?}", learnt.weights);
}

#[test]
fn how_far_outcomes_carry_is_learnt_from_groups_that_were_left_out() {
    let mut rows = rows();
    // Six groups with a meaning each, far from the others'.
    for (index, row) in rows.iter_mut().enumerate() {
        let angle = (index % 6) as f32;
        row.features.embedding = Arc::from([angle.cos(), angle.sin()]);
        row.group = (index % 6).to_string();
    }
    let near = |rows: &[Row]| measure(&rows.iter().collect::<Vec<_>>(), None).unwrap().carries.near;
    let apart = near(&rows);
    rows.iter_mut().for_each(|row| row.group.clear());
    assert!(apart < near(&rows) - 0.1, "{apart} {}", near(&rows));
}

#[test]
fn few_outcomes_say_little_about_a_slope() {
    let difficulties: Vec<f64> = (0..60).map(|at| f64::from(at % 3) - 1.0).collect();
    let falling = |copies: usize| {
        let difficulties: Vec<f64> = difficulties.iter().cycle().take(60 * copies).copied().collect();
        let outcomes: Vec<f64> = difficulties.iter().map(|value| if *value > 0.0 { 0.1 } else { 0.9 }).collect();
        line(&difficulties, &outcomes)[1]
    };
    assert!(falling(1) < falling(20) - 0.5, "{} {}", falling(1), falling(20));
}
