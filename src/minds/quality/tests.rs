use super::*;

/// Two models at one landmark: `a` is better there than its line says, `b` worse.
fn group(models: [&str; 2], added: [f32; 2]) -> Group {
    Group {
        models: models.map(Arc::from).to_vec(),
        landmarks: Landmarks {
            mean: vec![0.0; 20],
            scale: vec![1.0; 20],
            shapes: vec![0.0; 20],
            embeddings: vec![1.0, 0.0],
        },
        weights: added.to_vec(),
        lines: vec![[0.0, 1.0], [1.0, 1.0]],
        lengths: vec![Vec::new(), [vec![100_f32.ln(), 0.0], vec![0.0; 20]].concat()],
        near: 0.8,
    }
}

fn predictor(groups: Vec<Group>) -> Predictor {
    let mut weights = vec![0.0; SIGNS];
    weights[0] = 1.0;
    Predictor { difficulty: Difficulty { weights, bias: -2.0 }, groups }
}

/// One category with log-probability `shape`; length `length`; `meaning` between -1 and 1.
fn features(shape: f32, length: f32, meaning: f32) -> Features {
    let (mut structure, mut question) = ([0.0; STRUCTURE], [0.0; QUESTION]);
    (structure[0], question[0]) = (length, length);
    let embedding = Arc::from([meaning, (1.0 - meaning * meaning).sqrt()]);
    Features { categories: vec![shape], complexity: [0.0; 3], structure, question, embedding }
}

fn of(foresight: &Foresight, model: &str) -> f32 {
    foresight.of(model).unwrap().quality
}

#[test]
fn outcomes_count_near_them_and_difficulty_everywhere() {
    let predictor = predictor(vec![group(["a", "b"], [0.3, -0.3])]);
    let near = predictor.foresee(&features(0.0, 0.0, 1.0), "mom-quality-flash".into());
    assert_eq!((near.near, near.difficulty), (1.0, -2.0));
    let line = |level: f32| 1.0 / (1.0 + (-2.0 - level).exp());
    assert!((of(&near, "a") - (line(0.0) + 0.3).min(0.995)).abs() < 1e-6);
    assert!((of(&near, "b") - (line(1.0) - 0.3)).abs() < 1e-6);
    let far = predictor.foresee(&features(0.0, 0.0, -1.0), "mom-quality-flash".into());
    assert_eq!(far.near, 0.0);
    assert!((of(&far, "a") - line(0.0)).abs() < 1e-6);
    // The harder prompt needs the stronger one more, where nothing else is known.
    let harder = predictor.foresee(&features(0.0, 1.0, -1.0), "mom-quality-flash".into());
    assert!(harder.need("a", "b") > far.need("a", "b"));
    // Near, it is what they did there: `a` is the better one.
    assert!(near.need("a", "b") < 0.0);
    assert_eq!(far.need("a", "nobody"), -2.0);
    assert_eq!(far.of("Meta-B").map(|seen| seen.output_tokens.map(f32::round)), Some(Some(100.0)));
    assert_eq!(far.of("a").and_then(|seen| seen.output_tokens), None);
}

#[test]
fn the_newest_outcomes_that_are_near_speak() {
    let (mut here, mut elsewhere) = (group(["a", "b"], [-0.3, 0.0]), group(["a", "c"], [0.4, 0.4]));
    elsewhere.landmarks.embeddings = vec![-1.0, 0.0];
    for group in [&mut here, &mut elsewhere] {
        // Its length, counted twice.
        (group.landmarks.shapes[1], group.landmarks.shapes[14]) = (2.0, 2.0);
    }
    let predictor = predictor(vec![here, elsewhere]);
    let old = predictor.foresee(&features(0.0, 2.0, 1.0), "m".into());
    assert!((of(&old, "a") - 0.2).abs() < 1e-6, "{old:?}");
    let new = predictor.foresee(&features(0.0, 2.0, -1.0), "m".into());
    assert!((of(&new, "a") - 0.9).abs() < 1e-6, "{new:?}");
    assert_eq!(new.models.len(), 3);
    // One of two is known elsewhere only: difficulty speaks.
    assert_eq!((old.near, old.of("b").unwrap().near, old.of("c").unwrap().near), (1.0, 1.0, 0.0));
    let far = predictor.foresee(&features(0.0, 3.0, 1.0), "m".into());
    assert!(far.need("a", "c") > old.need("a", "c"));
}

#[test]
fn weights_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictor.safetensors");
    let predictor = predictor(vec![group(["a", "b"], [0.1, -0.2]), group(["c", "d"], [0.3, 0.4])]);
    predictor.write(&path).unwrap();
    assert_eq!(Predictor::read(&path).unwrap(), predictor);
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Predictor::read(&path).is_err(), "{cut} bytes are no predictor");
    }
    let mut narrow = predictor;
    narrow.groups[0].weights.pop();
    narrow.write(&path).unwrap_err();
}
