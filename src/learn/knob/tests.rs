use super::*;

/// Cheap solves what it is foreseen to, dear everything; every third prompt is hard.
fn prompts() -> Vec<Prompt> {
    (0..60)
        .map(|at| {
            let easy = at % 3 != 0;
            let cheap = Offer { quality: if easy { 0.9 } else { 0.3 }, cost: 1.0, outcome: f64::from(easy), paid: 1.0 };
            Prompt { offers: vec![cheap, Offer { quality: 0.95, cost: 10.0, outcome: 1.0, paid: 10.0 }], length: 5.0 }
        })
        .collect()
}

#[test]
fn the_floor_that_reaches_the_target_is_the_cheapest_one() {
    let prompts = prompts();
    let all = advise(&prompts, Target::ShareOf { backend: 1, share: 1.0 }).unwrap();
    assert_eq!(all.floor, Some(Floor::At(0.9)));
    assert!((all.cost.value - 4.0).abs() < 1e-9 && (all.saving.value - 0.6).abs() < 1e-9, "{all:?}");
    assert_eq!((all.quality.value, all.of_premium.value), (1.0, 1.0));
    // At this cost a blind mix solves 2/3 + 1/3 * 1/3.
    assert!((all.over_blind_mix.value - 2.0 / 9.0).abs() < 1e-9, "{all:?}");
    assert!(all.point.shares.iter().zip([2.0 / 3.0, 1.0 / 3.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    let some = advise(&prompts, Target::Quality(0.6)).unwrap();
    assert_eq!((some.floor, some.cost.value, some.premium), (Some(Floor::At(0.0)), 1.0, 1));
    let budget = advise(&prompts, Target::Budget(5000.0)).unwrap();
    assert!((budget.quality.value - 1.0).abs() < 1e-9 && budget.cost.value <= 5.0);
    let poor = advise(&prompts, Target::Budget(500.0)).unwrap();
    assert_eq!(poor.floor, None);
    assert_eq!(advise(&[], Target::Quality(0.5)), None);
}

#[test]
fn oracle_and_fixed_are_what_they_say() {
    let prompts = prompts();
    let fixed = fixed(&prompts);
    assert!((fixed[0].quality - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(fixed[1], Place { cost: 10.0, quality: 1.0 });
    assert!((oracle(&prompts).cost - 4.0).abs() < 1e-9);
    let curve = curve(&prompts, &advise(&prompts, Target::Quality(0.5)).unwrap());
    assert_eq!((curve[0].place.cost, curve.last().unwrap().place.cost), (1.0, 10.0));
}

#[test]
fn the_picture_names_what_it_shows() {
    let prompts = prompts();
    let advice = advise(&prompts, Target::Quality(0.9)).unwrap();
    let names = ["small & cheap".to_owned(), "large".to_owned()];
    let svg = svg("A <curve>", &names, &fixed(&prompts), oracle(&prompts), &curve(&prompts, &advice), &advice);
    for wanted in ["always small &amp; cheap", "always large", "oracle", "A &lt;curve>", "polyline"] {
        assert!(svg.contains(wanted), "{wanted} is not in {svg}");
    }
    assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"));
}

/// Cheap is foreseen to be as good as dear on half of the prompts, on each level of difficulty alike.
#[test]
fn where_both_fail_alike_a_share_of_the_premium_backend_is_the_better_floor() {
    let prompts: Vec<Prompt> = (0..80)
        .map(|at| {
            let (level, same) = (0.2 + 0.1 * f64::from(at % 4), at % 8 < 4);
            let cheap = Offer {
                quality: level * if same { 0.95 } else { 0.5 },
                cost: 1.0,
                outcome: f64::from(same),
                paid: 1.0,
            };
            Prompt { offers: vec![cheap, Offer { quality: level, cost: 10.0, outcome: 1.0, paid: 10.0 }], length: 1.0 }
        })
        .collect();
    let advice = advise(&prompts, Target::ShareOf { backend: 1, share: 1.0 }).unwrap();
    assert!(matches!(advice.floor, Some(Floor::ShareOf { backend: 1, share }) if share > 0.5), "{advice:?}");
    assert!((advice.cost.value - 5.5).abs() < 1e-9, "{advice:?}");
}
