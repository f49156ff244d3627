//! MQTT for one site.
