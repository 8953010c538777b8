//! Who grades: judges that keep their word and such that do not, and programs.

use serde_json::{Value, json};

use super::{BOTH, CHEAP, PREMIUM, Place, cheap, premium, question, says, sum};
use crate::cli::stderr;
use crate::upstream::Upstream;

/// A judge that says which of two answers it likes.
async fn judge(likes: impl Fn(&str, &str) -> &'static str + Send + Sync + 'static) -> Upstream {
    Upstream::start(move |_, seen| {
        let shown = question(seen);
        let part = |name: &str| {
            let (_, rest) = shown.split_once(&format!("===== {name} =====\n")).unwrap();
            rest.split_once("\n===== end of").unwrap().0.to_owned()
        };
        says(&format!("I have read both.\nVERDICT: {}", likes(&part("answer 1"), &part("answer 2"))))
    })
    .await
}

const JUDGED: [&str; 6] = ["--backends", "cheap,premium", "--max-usd", "5", "--grade", "judge=strong"];

#[tokio::test]
async fn a_judge_counts_where_it_keeps_its_word_with_places_swapped() {
    let (small, large) = (cheap().await, premium().await);
    let talk: Vec<Value> = (0..6).map(|n| json!({"id": n, "prompt": format!("What is {n} plus {n}?")})).collect();
    // Premium's sums are even; both answers are the same but for 1.
    let fair = judge(|first, second| match (first.contains("is 3."), second.contains("is 3.")) {
        (true, false) => "2",
        (false, true) => "1",
        _ => "TIE",
    })
    .await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM), ("strong", &fair, PREMIUM)]);
    place.write("talk.jsonl", &talk);
    let (code, told) = place.told("talk.jsonl", &JUDGED).await;
    assert_eq!((code, fair.seen().len(), &told["run"]["graded"]), (Some(0), 12, &json!(12)), "{told}");
    for line in place.outcomes() {
        let scores = (line["outcomes"]["vendor/small"].as_f64().unwrap(), line["outcomes"]["large"].as_f64().unwrap());
        assert_eq!(scores, if line["id"] == 1 { (0.0, 1.0) } else { (0.5, 0.5) }, "{line}");
        assert!((line["judge_usd"].as_f64().unwrap() - 2.0 * 0.0021).abs() < 1e-9, "{line}");
    }
    let asked: Vec<String> =
        fair.seen().iter().map(question).filter(|shown| shown.contains("What is 1 plus")).collect();
    let cheap_first = |shown: &str| shown.find("is 3.").unwrap() < shown.find("is 2.").unwrap();
    assert!(asked.len() == 2 && cheap_first(&asked[0]) && !cheap_first(&asked[1]), "{asked:?}");
    let paid = 6.0 * (0.00021 + 0.0021 + 2.0 * 0.0021);
    assert!((told["spent_usd"].as_f64().unwrap() - paid).abs() < 1e-9, "judges are paid too: {told}");

    // One that likes what stands first likes nothing.
    let biased = judge(|_, _| "1").await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM), ("strong", &biased, PREMIUM)]);
    place.write("talk.jsonl", &talk);
    let (_, told) = place.told("talk.jsonl", &JUDGED).await;
    assert_eq!(told["comparisons"][0]["difference"], 0.0, "{told}");
    assert!(place.outcomes().iter().all(|line| line["outcomes"]["large"] == 0.5));

    // One that rambles grades nothing, and is not paid for it forty times.
    let rambling = Upstream::start(|_, _| says("VERDICT: 1, or perhaps 2")).await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM), ("strong", &rambling, PREMIUM)]);
    place
        .write("talk.jsonl", &(0..40).map(|n| json!({"prompt": format!("What is {n} plus {n}?")})).collect::<Vec<_>>());
    let (code, told) = place.told("talk.jsonl", &JUDGED).await;
    assert!(code == Some(1) && told["run"]["stopped"].as_str().unwrap().contains("no verdict"), "{told}");
    assert!(rambling.seen().len() < 12 && place.outcomes().is_empty());
}

#[tokio::test]
async fn a_judge_holds_answers_against_the_right_one_and_may_judge_itself() {
    let small = cheap().await;
    let large = Upstream::start(|_, seen| match question(seen) {
        shown if shown.contains("===== reference answer =====\n22\n") && shown.contains("is 23.") => {
            says("VERDICT: WRONG")
        }
        shown if shown.contains("reference answer") => says("VERDICT: CORRECT"),
        asked => says(&sum(&asked, true)),
    })
    .await;
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    place.write("two.jsonl", &[json!({"id": 1, "prompt": "What is 11 plus 11?", "answer": "22"})]);
    let own = ["--backends", "cheap,premium", "--max-usd", "5", "--grade", "judge=premium"];
    let output = place.run("two.jsonl", &own).await;
    assert!(stderr(&output).contains("premium judges its own answers"), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let quality = |index: usize| told["backends"][index]["quality"].as_f64();
    assert_eq!((quality(0), quality(1)), (Some(0.0), Some(1.0)), "{told}");
}

#[tokio::test]
async fn a_program_grades() {
    let (small, large) = (cheap().await, premium().await);
    let place = Place::new(&[("cheap", &small, CHEAP), ("premium", &large, PREMIUM)]);
    place.write(
        "two.jsonl",
        &[json!({"id": 1, "prompt": "What is 11 plus 11?"}), json!({"id": 2, "prompt": "What is 2 plus 2?"})],
    );
    let (code, told) =
        place.told("two.jsonl", &[&BOTH[..], &["--grade", "command=grep -q -e 'is 22' -e 'is 4'"]].concat()).await;
    assert_eq!(
        (code, &told["backends"][0]["quality"], &told["backends"][1]["quality"]),
        (Some(0), &json!(0.5), &json!(1.0)),
        "{told}"
    );
    std::fs::remove_file(place.path("out.jsonl")).unwrap();
    let (code, told) = place.told("sums.jsonl", &[&BOTH[..], &["--grade", "command=no-such-grader"]].concat()).await;
    assert!(code == Some(1) && told["run"]["stopped"].as_str().unwrap().contains("exited with 127"), "{told}");
    assert!(told["run"]["ungraded"].as_u64().unwrap() < 12, "a broken grader is not paid for: {told}");
}
