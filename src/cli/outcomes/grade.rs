//! Who grades: a rule, a program, or a backend that judges.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ask::{Desk, Missed, Reply};
use super::prompts::Asked;
use super::purse::Money;
use crate::learn::grade::{Grader, Rule, judge};

/// How often a program is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// Bytes of what a program says that are read.
const HEARD: u64 = 64 * 1024;

/// Bytes of an answer's token, at most as reservations have it; where it is more, more is reserved.
const BYTES_PER_TOKEN: usize = 4;

/// What was asked for on the command line.
#[derive(Clone, Debug)]
pub(super) enum Grade {
    Rule(Rule),
    Command(String),
    Judge(String),
}

/// How one prompt's answers are graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Rule(Rule),
    Command,
    /// A judge holds each answer against the right one.
    Reference,
    /// A judge compares the answers with each other.
    Compared,
}

/// Why an answer has no grade.
#[derive(Debug)]
pub(super) enum Ungraded {
    /// The grader did not keep to the form.
    Odd(String),
    /// The judge gave no answer.
    Missed(Missed),
    NoMoney,
}

impl FromStr for Grade {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('=').filter(|(_, rest)| !rest.trim().is_empty());
        Ok(match (text, named) {
            ("exact", _) => Self::Rule(Rule::Exact),
            ("number", _) => Self::Rule(Rule::Number),
            ("choice", _) => Self::Rule(Rule::Choice),
            (_, Some(("command", command))) => Self::Command(command.to_owned()),
            (_, Some(("judge", backend))) => Self::Judge(backend.to_owned()),
            _ => return Err("expected exact, number, choice, command=PROGRAM or judge=BACKEND".to_owned()),
        })
    }
}

/// Grades answers.
pub(super) struct Grading<'a> {
    pub(super) desk: &'a Desk,
    pub(super) rules: &'a Grader,
    pub(super) command: Option<(&'a str, Duration)>,
    pub(super) judge: Option<&'a str>,
}

impl Grading<'_> {
    /// One answer's grade, and what grading cost.
    pub(super) async fn alone(
        &self,
        way: Way,
        asked: &Asked,
        model: &str,
        reply: &Reply,
        money: &Money<'_>,
    ) -> Result<(f64, f64), Ungraded> {
        match way {
            Way::Rule(rule) => Ok((self.rules.score(rule, &reply.text, asked.wanted()), 0.0)),
            Way::Command => Ok((self.run(asked, model, reply).await?, 0.0)),
            Way::Reference | Way::Compared => {
                let reference = asked.answer.as_deref().unwrap_or_default();
                let shown = judge::beside(&asked.conversation(), reference, &reply.text);
                let said = self.ask(judge::AGAINST_REFERENCE, shown, money).await?;
                let grade = judge::graded(&said.text).ok_or_else(|| no_verdict(&said))?;
                Ok((grade, said.usd))
            }
        }
    }

    /// The grades of several answers to one prompt, each compared with each in both orders, and what that cost.
    pub(super) async fn compared(
        &self,
        asked: &Asked,
        replies: &[Reply],
        money: &Money<'_>,
    ) -> Result<(Vec<f64>, f64), Ungraded> {
        let (mut grades, mut usd) = (vec![0.0; replies.len()], 0.0);
        let share = 1.0 / (replies.len().max(2) - 1) as f64;
        let request = asked.conversation();
        for (first, second) in (0..replies.len()).flat_map(|first| (0..first).map(move |second| (second, first))) {
            let mut word = async |first: usize, second: usize| {
                let shown = judge::two(&request, &replies[first].text, &replies[second].text);
                let said = self.ask(judge::COMPARE, shown, money).await?;
                usd += said.usd;
                judge::preferred(&said.text).ok_or_else(|| no_verdict(&said))
            };
            let straight = word(first, second).await?;
            let swapped = word(second, first).await?;
            let [one, other] = judge::agreed(straight, swapped);
            grades[first] += one * share;
            grades[second] += other * share;
        }
        Ok((grades, usd))
    }

    /// What grading the answers of `backends` backends to a prompt costs at most, as far as can be said before
    /// they are known.
    pub(super) fn worst(&self, way: Way, asked: &Asked, backends: usize, max_tokens: u32) -> f64 {
        let Some(judge) = self.judge else { return 0.0 };
        let answer = BYTES_PER_TOKEN * max_tokens as usize;
        let request = asked.conversation();
        let (calls, system, shown, answers) = match way {
            Way::Rule(_) | Way::Command => return 0.0,
            Way::Reference => {
                let reference = asked.answer.as_deref().unwrap_or_default();
                (backends, judge::AGAINST_REFERENCE, judge::beside(&request, reference, ""), 1)
            }
            Way::Compared => (backends * (backends - 1), judge::COMPARE, judge::two(&request, "", ""), 2),
        };
        calls as f64 * (self.desk.worst(judge, &messages(system, shown)) + self.desk.prompt(judge, answers * answer))
    }

    async fn ask(&self, system: &str, shown: String, money: &Money<'_>) -> Result<Reply, Ungraded> {
        let judge = self.judge.unwrap_or_default();
        let messages = messages(system, shown);
        if !money.covers(self.desk.worst(judge, &messages)) {
            return Err(Ungraded::NoMoney);
        }
        match self.desk.ask(judge, &messages).await {
            Ok(said) => {
                money.pay(said.usd);
                Ok(said)
            }
            Err(missed) => {
                money.pay(missed.usd);
                Err(Ungraded::Missed(missed))
            }
        }
    }

    /// A program's word on an answer.
    async fn run(&self, asked: &Asked, model: &str, reply: &Reply) -> Result<f64, Ungraded> {
        let Some((command, limit)) = self.command else { return Err(Ungraded::Odd("there is no command".to_owned())) };
        let input = json!({
            "id": asked.id, "prompt": asked.text, "messages": asked.messages, "answer": reply.text,
            "reference": asked.answer, "choices": asked.choices, "model": model,
        });
        let command = command.to_owned();
        let graded = tokio::task::spawn_blocking(move || grade_with(&command, &format!("{input}\n"), limit)).await;
        graded.unwrap_or_else(|error| Err(error.to_string())).map_err(Ungraded::Odd)
    }
}

fn messages(system: &str, shown: String) -> Vec<Value> {
    vec![json!({"role": "system", "content": system}), json!({"role": "user", "content": shown})]
}

fn no_verdict(said: &Reply) -> Ungraded {
    let why = if said.cut {
        "the judge came to no verdict within --max-tokens"
    } else {
        "the judge's last line is no verdict"
    };
    Ungraded::Odd(why.to_owned())
}

/// Runs a program over one answer: its exit code, or the number that it prints, is the grade.
fn grade_with(command: &str, input: &str, limit: Duration) -> Result<f64, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own, so that it can be ended with all that it starts, and Ctrl-C lets it finish.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("the grading command cannot be started: {error}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (status, said, complaint) = std::thread::scope(|scope| {
        let said = scope.spawn(|| heard(stdout));
        let complaint = scope.spawn(|| heard(stderr));
        scope.spawn(|| {
            // A program need not read what it is given.
            let _ = stdin.map(|mut stdin| stdin.write_all(input.as_bytes()));
        });
        let status = ended(&mut child, limit);
        (status, said.join().unwrap_or_default(), complaint.join().unwrap_or_default())
    });
    let status = status.ok_or_else(|| format!("the grading command took longer than {} s", limit.as_secs_f64()))?;
    let complaint = complaint.lines().next().unwrap_or_default().to_owned();
    match (status.code(), said.trim().parse::<f64>()) {
        (Some(0), Ok(grade)) if (0.0..=1.0).contains(&grade) => Ok(grade),
        (Some(0), Ok(grade)) => Err(format!("the grading command printed {grade}, not a number from 0 to 1")),
        (Some(0), Err(_)) => Ok(1.0),
        (Some(1), _) => Ok(0.0),
        (Some(code), _) => Err(format!("the grading command exited with {code}: {complaint}")),
        (None, _) => Err("the grading command was killed".to_owned()),
    }
}

/// Waits for a program and ends what it left running; `None` where it took too long.
fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    let mut status = None;
    while status.is_none() && Instant::now() < deadline {
        status = child.try_wait().ok().flatten();
        if status.is_none() {
            std::thread::sleep(LOOK);
        }
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Err: nobody is left.
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        let _ = child.wait();
    }
    status
}

fn heard(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read was not said; the rest is drained, so that the program can end.
        let _ = pipe.by_ref().take(HEARD).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_word() {
        let of = |command: &str| grade_with(command, "{\"answer\": \"four\"}\n", Duration::from_secs(5));
        assert_eq!(of("exit 0"), Ok(1.0));
        assert_eq!(of("exit 1"), Ok(0.0));
        assert_eq!(of("echo 0.25"), Ok(0.25));
        assert_eq!(of("echo 2 tests passed"), Ok(1.0), "chatter");
        assert_eq!(of("grep -q four"), Ok(1.0));
        assert_eq!(of("grep -q five"), Ok(0.0));
        assert!(of("echo 7").unwrap_err().contains("printed 7"));
        assert!(of("echo oh dear >&2; exit 3").unwrap_err().contains("exited with 3: oh dear"));
        assert!(of("no-such-program-here").unwrap_err().contains("exited with 127"));
        assert!(of("kill -9 $$").unwrap_err().contains("killed"));
        assert_eq!(of("head -c 1000000 /dev/zero"), Ok(1.0));
        assert_eq!(of("sleep 60 & exit 1"), Ok(0.0), "what it left running is ended");
        let late = grade_with("sleep 60 & sleep 60", "", Duration::from_millis(200));
        assert!(late.unwrap_err().contains("longer than 0.2 s"));
    }

    #[test]
    fn ways_to_grade_are_spelled() {
        assert!(matches!("number".parse(), Ok(Grade::Rule(Rule::Number))));
        assert!(matches!("judge=premium".parse(), Ok(Grade::Judge(name)) if name == "premium"));
        assert!(
            matches!("command=./grade.py --strict=1".parse(), Ok(Grade::Command(command)) if command.ends_with("=1"))
        );
        for wrong in ["judge", "judge=", "best", ""] {
            assert!(wrong.parse::<Grade>().unwrap_err().contains("judge=BACKEND"));
        }
    }
}
