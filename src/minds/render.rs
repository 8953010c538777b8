//! Verdicts as JSON: the one rendering that `mom classify`, `/v1/classify` and the decision
//! trace share.

use serde_json::{Map, Value, json};

use super::quality::{Foreseen, Foresight};
use super::{
    COMPLEXITIES, Embedding, Expert, Given, Harm, Intent, Jailbreak, Judgement, Opined, Opinion, Place, Span, Stretch,
};

/// Mind name to verdict, or to `{"unavailable": reason}`. Minds that are off are left out.
pub fn verdicts_json(judgement: &Judgement) -> Map<String, Value> {
    let names = &judgement.names;
    let verdicts = [
        (&names.intent, given(&judgement.intent, intent)),
        (&names.jailbreak, guard(&judgement.jailbreak, &judgement.harm)),
        (&names.pii, given(&judgement.pii, |spans| json!({"spans": spans.iter().map(span).collect::<Vec<_>>()}))),
        (&names.embedding, given(&judgement.embedding, embedding)),
    ];
    let opinions = judgement.opinions.iter().map(|opinion| (&opinion.mind, self::opinion(opinion)));
    let foresight = judgement.foresight.iter().map(|foresight| (&foresight.mind, Some(self::foresight(foresight))));
    verdicts
        .into_iter()
        .chain(foresight)
        .chain(opinions)
        .filter_map(|(name, verdict)| Some((name.to_string(), verdict?)))
        .collect()
}

fn opinion(opinion: &Opinion) -> Option<Value> {
    let mut out = given(&opinion.said, opined)?;
    if !opinion.ignored.is_empty() {
        out["ignored"] = opinion.ignored.iter().map(stretch).collect();
    }
    match &opinion.reason {
        Given::Off => {}
        Given::Verdict(reason) => {
            out["cause"] = reason.cause.as_str().into();
            out["reason"] = reason.to_string().into();
        }
        Given::Unavailable(why) => out["reason"] = json!(why),
    }
    Some(out)
}

fn opined(opined: &Opined) -> Value {
    match opined {
        Opined::Intent(said) => intent(said),
        Opined::Expert(said) => expert(said),
    }
}

fn foresight(foresight: &Foresight) -> Value {
    let mut out = json!({"difficulty": round(foresight.difficulty), "near": round(foresight.near)});
    let by_model = |of: &dyn Fn(&Foreseen) -> Option<f32>| -> Map<String, Value> {
        let known = foresight.models.iter().filter_map(|seen| Some((seen.model.to_string(), round(of(seen)?))));
        known.collect()
    };
    out["p_solve"] = by_model(&|seen| Some(seen.quality)).into();
    out["output_tokens"] = by_model(&|seen| seen.output_tokens).into();
    out
}

fn expert(expert: &Expert) -> Value {
    let (label, score) = expert.domain();
    let named = |names: &[String], scores: &[f32]| {
        let all = names.iter().zip(scores);
        all.map(|(name, score)| (name.clone(), round(*score))).collect::<Map<String, Value>>()
    };
    let mut out = json!({
        "label": label, "score": round(score), "scores": named(&expert.labels, &expert.scores),
        "difficulty": round(expert.difficulty)
    });
    if let Some((names, chances)) = &expert.p_solve {
        out["p_solve"] = named(names, chances).into();
    }
    out
}

fn given<T>(given: &Given<T>, render: impl Fn(&T) -> Value) -> Option<Value> {
    match given {
        Given::Off => None,
        Given::Verdict(verdict) => Some(render(verdict)),
        Given::Unavailable(why) => Some(json!(why)),
    }
}

/// Two questions to one mind, each with a verdict or a reason of its own.
fn guard(attack: &Given<Jailbreak>, harm: &Given<Harm>) -> Option<Value> {
    let mut out = given(attack, jailbreak)?;
    // Where neither could be had the one reason is enough.
    let any = attack.verdict().is_some() || harm.verdict().is_some();
    if let Some(harm) = given(harm, |harm| round(harm.score)).filter(|_| any) {
        out["harm"] = harm;
    }
    Some(out)
}

fn intent(intent: &Intent) -> Value {
    let (label, score) = intent.category();
    let scores = intent.labels.iter().zip(&intent.scores);
    let scores: Map<String, Value> = scores.map(|(label, score)| (label.clone(), round(*score))).collect();
    let mut out = json!({"label": label, "score": round(score), "scores": scores});
    if let (Some((label, score)), Some(all)) = (intent.complexity(), intent.complexity) {
        let scores = COMPLEXITIES.iter().zip(all);
        let scores: Map<String, Value> = scores.map(|(label, score)| ((*label).to_owned(), round(score))).collect();
        out["complexity"] = json!({"label": label, "score": round(score), "scores": scores});
    }
    out
}

fn jailbreak(verdict: &Jailbreak) -> Value {
    let label = if verdict.detected() { "jailbreak" } else { "benign" };
    let mut out = json!({"label": label, "score": round(verdict.score)});
    if let Some(source) = verdict.source {
        out["source"] = json!(source);
    }
    if let Some(span) = verdict.span {
        out["span"] = stretch(&span);
    }
    out
}

fn stretch(stretch: &Stretch) -> Value {
    let mut out = json!({"start": stretch.start, "end": stretch.end});
    locate(&mut out, stretch.place);
    out
}

fn span(span: &Span) -> Value {
    let mut out = json!({"start": span.start, "end": span.end, "label": &*span.label, "score": round(span.score)});
    locate(&mut out, span.place);
    out
}

fn locate(out: &mut Value, place: Option<Place>) {
    if let Some(place) = place {
        out["message"] = place.message.into();
        out["part"] = place.part.into();
    }
}

fn embedding(embedding: &Embedding) -> Value {
    let vector: Vec<Value> = embedding.vector.iter().map(|number| round(*number)).collect();
    let mut out = json!({"embedding": vector});
    if !embedding.similar_to.is_empty() {
        let names = embedding.similar_to.iter();
        let names: Map<String, Value> = names.map(|(name, cosine)| (name.clone(), round(*cosine))).collect();
        out["similar_to"] = names.into();
    }
    out
}

/// Six decimals: more is noise, and makes answers hard to compare.
fn round(number: f32) -> Value {
    ((f64::from(number) * 1e6).round() / 1e6).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minds::{Harm, MindNames, Source, Timings, Unavailable};

    #[test]
    fn the_spelling_is_the_published_one() {
        let names = MindNames {
            intent: "mom-brain-flash".into(),
            jailbreak: "mom-jailbreak-flash".into(),
            pii: "mom-pii-flash".into(),
            embedding: "mom-similarity-flash".into(),
        };
        let labels = vec!["law".to_owned(), "math".to_owned()].into();
        let place = Some(Place { message: 2, part: 1 });
        let judgement = Judgement {
            intent: Given::Verdict(Intent { labels, scores: vec![0.25, 0.75], complexity: Some([0.5, 0.25, 0.25]) }),
            jailbreak: Given::Verdict(Jailbreak {
                score: 0.912_345_67,
                threshold: 0.5,
                source: Some(Source::Tool),
                span: Some(Stretch { place, start: 5, end: 40 }),
            }),
            harm: Given::Verdict(Harm { score: 0.25, threshold: 0.5 }),
            pii: Given::Verdict(vec![Span { place, start: 3, end: 9, label: "PERSON".into(), score: 1.0 }]),
            embedding: Given::Unavailable(Unavailable::Deadline),
            opinions: Vec::new(),
            foresight: None,
            names,
            judged: Vec::new(),
            prompt_tokens: 0,
            windows: 1,
            timings: Timings::default(),
        };
        assert_eq!(
            Value::from(verdicts_json(&judgement)).to_string(),
            concat!(
                r#"{"mom-brain-flash":{"label":"math","score":0.75,"scores":{"law":0.25,"math":0.75},"#,
                r#""complexity":{"label":"simple","score":0.5,"scores":{"simple":0.5,"medium":0.25,"hard":0.25}}},"#,
                r#""mom-jailbreak-flash":{"label":"jailbreak","score":0.912346,"source":"tool","#,
                r#""span":{"start":5,"end":40,"message":2,"part":1},"harm":0.25},"#,
                r#""mom-pii-flash":{"spans":[{"start":3,"end":9,"label":"PERSON","score":1.0,"message":2,"part":1}]},"#,
                r#""mom-similarity-flash":{"unavailable":"deadline"}}"#
            )
        );
        let partly = |attack: Given<Jailbreak>, harm| guard(&attack, &harm).unwrap().to_string();
        let (calm, why) = (Harm { score: 0.25, threshold: 0.5 }, Unavailable::UnreadableLanguage);
        let attack = Jailbreak { score: 0.75, threshold: 0.5, source: None, span: None };
        let found = r#"{"label":"jailbreak","score":0.75"#;
        assert_eq!(partly(Given::Verdict(attack), Given::Off), format!("{found}}}"));
        assert_eq!(
            partly(Given::Verdict(attack), Given::Unavailable(why)),
            format!(r#"{found},"harm":{{"unavailable":"unreadable_language"}}}}"#)
        );
        let missing = || Given::Unavailable(Unavailable::Deadline);
        assert_eq!(partly(missing(), Given::Verdict(calm)), r#"{"unavailable":"deadline","harm":0.25}"#);
        assert_eq!(partly(missing(), Given::Unavailable(why)), r#"{"unavailable":"deadline"}"#);
    }
}
