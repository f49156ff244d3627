//! Three RabbitMQ nodes of the tests' own that are a cluster: Debian's, on free ports of this machine alone, as their own user, with
//! an epmd and a cookie of their own. Its MQTT plugin agrees by majority on who is connected.

use crate::cluster::{Folder, as_user, give, kill_with_children, wait_until};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tokio::net::TcpSocket;
use world::head_office::reserve_port;

/// Whom Debian made for it.
const USER: &str = "rabbitmq";
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

pub(crate) struct RabbitMq {
    nodes: Vec<Node>,
    epmd: Child,
    epmd_port: u16,
    _reserved: Vec<TcpSocket>,
    /// The last, as everything lies in it.
    folder: Folder,
}

struct Node {
    name: String,
    mqtt: u16,
    distribution: u16,
    server: Option<Child>,
}

impl RabbitMq {
    /// Starts three nodes at once, and waits until each has the two others and takes connections.
    pub(crate) fn start() -> Self {
        let mut reserved = Vec::new();
        let mut port = || {
            reserved.push(reserve_port().unwrap());
            reserved.last().unwrap().local_addr().unwrap().port()
        };
        let nodes = (1..=3).map(|number| Node {
            name: format!("holdfast{number}@localhost"),
            mqtt: port(),
            distribution: port(),
            server: None,
        });
        let nodes: Vec<Node> = nodes.collect();
        let epmd_port = port();
        let folder = Folder::new("rabbitmq");
        let cookie = folder.path().join(".erlang.cookie");
        fs::write(&cookie, format!("HOLDFAST{}", std::process::id())).unwrap();
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).unwrap();
        fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_mqtt].\n").unwrap();
        for node in &nodes {
            let mut config = format!(
                "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{}\n\
                 cluster_formation.peer_discovery_backend = classic_config\n",
                node.mqtt
            );
            for (number, peer) in (1..).zip(&nodes) {
                config += &format!("cluster_formation.classic_config.nodes.{number} = {}\n", peer.name);
            }
            fs::write(folder.path().join(format!("{}.conf", node.name)), config).unwrap();
        }
        give(folder.path(), USER);
        let mut epmd = as_user(USER, Path::new("/usr/bin/epmd"));
        epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        let epmd = epmd
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut cluster = Self {
            nodes,
            epmd: epmd.expect("RabbitMQ is not installed: `cargo xtask test` does it"),
            epmd_port,
            _reserved: reserved,
            folder,
        };
        wait_until("epmd listens", || TcpStream::connect(("127.0.0.1", epmd_port)).is_ok());
        for number in 0..cluster.nodes.len() {
            let log = File::create(cluster.log(number)).unwrap();
            let mut server = cluster.program(number, "rabbitmq-server");
            server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            cluster.nodes[number].server = Some(server.spawn().unwrap());
        }
        for number in 0..cluster.nodes.len() {
            cluster.wait_for(number);
        }
        wait_until("each node of RabbitMQ has the two others", || cluster.pairs() == 3);
        cluster
    }

    /// How many pairs of nodes have found each other: whoever is up first says it of whoever comes later. (`rabbitmqctl` would
    /// tell, and takes as long as all else.)
    fn pairs(&self) -> usize {
        let mut pairs = BTreeSet::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let log = fs::read_to_string(self.log(number)).unwrap();
            let others = self.nodes.iter().map(|other| other.name.as_str());
            let others = others.filter(|other| *other != node.name);
            let found = others.filter(|other| log.contains(&format!("rabbit on node {other} up")));
            pairs.extend(found.map(|other| [node.name.as_str().min(other), node.name.as_str().max(other)]));
        }
        pairs.len()
    }

    fn wait_for(&mut self, number: usize) {
        let log = self.log(number);
        let server = self.nodes[number].server.as_mut().unwrap();
        wait_until("a node of RabbitMQ is up", || {
            let said = fs::read_to_string(&log).unwrap();
            if let Some(status) = server.try_wait().unwrap() {
                panic!("a node of RabbitMQ ended with {status}: {said}");
            }
            said.contains("Server startup complete")
        });
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{}.log", self.nodes[number].name))
    }

    /// A program of it, for this node: nothing of the machine's own RabbitMQ is read or written.
    fn program(&self, number: usize, program: &str) -> Command {
        let (folder, node) = (self.folder.path(), &self.nodes[number]);
        let mut command = as_user(USER, &Path::new(PROGRAMS).join(program));
        let variables = [
            ("NODENAME", node.name.clone()),
            ("DIST_PORT", node.distribution.to_string()),
            (
                "SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            ("MNESIA_BASE", format!("{}/mnesia", folder.display())),
            ("LOG_BASE", folder.display().to_string()),
            ("LOGS", "-".to_owned()),
            ("CONFIG_FILE", format!("{}/{}.conf", folder.display(), node.name)),
            ("ENABLED_PLUGINS_FILE", format!("{}/enabled_plugins", folder.display())),
            ("PID_FILE", format!("{}/{}.pid", folder.display(), node.name)),
            // Those of the machine's own are not there.
            ("CONF_ENV_FILE", format!("{}/none", folder.display())),
            ("ADVANCED_CONFIG_FILE", format!("{}/none.config", folder.display())),
        ];
        command.envs(variables.map(|(name, value)| (format!("RABBITMQ_{name}"), value)));
        command
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string());
        command.env("ERL_EPMD_ADDRESS", "127.0.0.1");
        // The server itself takes the place of the script then, and ends when it is told to.
        command.env("RUNNING_UNDER_SYSTEMD", "true").env_remove("NOTIFY_SOCKET");
        command
    }

    /// The addresses of its nodes, beginning with this one, as a list for a configuration.
    pub(crate) fn addresses(&self, order: [usize; 3]) -> String {
        let nodes = order.map(|number| format!("\"127.0.0.1:{}\"", self.nodes[number].mqtt));
        format!("[{}]", nodes.join(", "))
    }

    /// The address of a node.
    pub(crate) fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[number].mqtt)
    }

    /// Ends a node as a power cut does.
    pub(crate) fn kill(&mut self, number: usize) {
        kill_with_children(&mut self.nodes[number].server.take().unwrap());
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut server) = node.server.take() {
                kill_with_children(&mut server);
            }
        }
        let _gone = self.epmd.kill();
        let _reaped = self.epmd.wait();
    }
}
