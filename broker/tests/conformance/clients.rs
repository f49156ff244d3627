//! The same behaviours as clients that we did not write see them: `mosquitto_pub` and `mosquitto_sub`.

use std::process::{Child, Command, Stdio};

use crate::bench::{Bench, in_time};

in_both_versions!(
    mosquitto_gets_a_retained_message,
    mosquitto_gets_what_waited_for_it,
    mosquitto_sees_the_will_of_another,
    mosquitto_is_told_of_a_refused_subscription,
);

/// A client of mosquitto's as `P1`, or whoever `id` says; the broker has no user but the client id's first part.
fn mosquitto(program: &str, bench: &Bench, version: u8, id: &str, arguments: &[&str]) -> Child {
    let name = if version == 5 { "mqttv5" } else { "mqttv311" };
    let user = id.split('~').next().unwrap();
    Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &bench.address.port().to_string(), "-V", name])
        .args(["-i", id, "-u", user, "-P", "secret"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is missing ({error}); Debian: mosquitto-clients"))
}

async fn output(child: Child) -> (String, String) {
    // Each ends by itself (-W), so this does.
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
    let output = in_time("the end of a client", ended).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

async fn run(program: &str, bench: &Bench, version: u8, id: &str, arguments: &[&str]) -> String {
    let (out, err) = output(mosquitto(program, bench, version, id, arguments)).await;
    assert_eq!(err, "", "{program} {arguments:?}");
    out
}

async fn mosquitto_gets_a_retained_message(version: u8) {
    let bench = Bench::new().await;
    let mut publish = vec!["-t", "open/x", "-m", "kept", "-q", "1", "-r"];
    if version == 5 {
        publish.extend(["-D", "publish", "user-property", "unit", "kWh"]);
    }
    run("mosquitto_pub", &bench, version, "P1", &publish).await;
    let format = if version == 5 { "%r %q %t %p %P" } else { "%r %q %t %p" };
    let subscribe = ["-t", "open/#", "-q", "1", "-C", "1", "-W", "8", "-F", format];
    let got = run("mosquitto_sub", &bench, version, "P2", &subscribe).await;
    let expected = if version == 5 {
        "1 1 open/x kept unit:kWh\n"
    } else {
        "1 1 open/x kept\n"
    };
    assert_eq!(got, expected);
}

async fn mosquitto_gets_what_waited_for_it(version: u8) {
    let bench = Bench::new().await;
    let mut session = vec!["-t", "open/#", "-q", "2", "-c"];
    if version == 5 {
        session.extend(["-x", "60"]);
    }
    // -E: it goes once it has subscribed.
    run(
        "mosquitto_sub",
        &bench,
        version,
        "P2",
        &[&session[..], &["-E"]].concat(),
    )
    .await;
    for (qos, payload) in [("0", "not kept"), ("1", "first"), ("2", "second"), ("1", "third")] {
        run(
            "mosquitto_pub",
            &bench,
            version,
            "P1",
            &["-t", "open/x", "-m", payload, "-q", qos],
        )
        .await;
    }
    let wait = ["-C", "3", "-W", "8", "-F", "%q %p"];
    let got = run("mosquitto_sub", &bench, version, "P2", &[&session[..], &wait].concat()).await;
    // It shows a message of QoS 2 once PUBREL has come, so behind others.
    let (qos_1, qos_2): (Vec<&str>, Vec<&str>) = got.lines().partition(|line| line.starts_with('1'));
    assert_eq!((qos_1, qos_2), (vec!["1 first", "1 third"], vec!["2 second"]));
}

async fn mosquitto_sees_the_will_of_another(version: u8) {
    let mut bench = Bench::new().await;
    let will = [
        "-t",
        "open/other",
        "--will-topic",
        "open/gone",
        "--will-payload",
        "bye",
        "--will-qos",
        "1",
        "--will-retain",
        "-W",
        "30",
    ];
    let mut dying = mosquitto("mosquitto_sub", &bench, version, "P1", &will);
    let subscribe = ["-t", "open/gone", "-q", "1", "-C", "1", "-W", "8", "-F", "%q %p"];
    let witness = mosquitto("mosquitto_sub", &bench, version, "P2", &subscribe);
    for _ in 0..2 {
        bench.heard().await;
    }
    // A retained message is for those who subscribe too late to see it live; so no wait for the subscription is needed.
    dying.kill().unwrap();
    dying.wait().unwrap();
    assert_eq!(output(witness).await.0, "1 bye\n");
}

async fn mosquitto_is_told_of_a_refused_subscription(version: u8) {
    let bench = Bench::new().await;
    let (out, err) = output(mosquitto(
        "mosquitto_sub",
        &bench,
        version,
        "P1",
        &["-t", "down/P2/#", "-C", "1", "-W", "8"],
    ))
    .await;
    assert_eq!(out, "");
    assert!(err.contains("denied"), "{err}");
}
