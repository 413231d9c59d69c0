// Raw counts of HX711s over MQTT, for an ESP32. Libraries: PubSubClient; WiFi and esp_timer of the ESP32 core.
// The protocol is described in docs/guide/hardware.md. Fill in the six constants.
#include <WiFi.h>
#include <PubSubClient.h>

const char *WIFI_NAME = "store-devices";
const char *WIFI_PASSWORD = "";
const char *BROKER = "192.0.2.10";
const char *STORE = "corner";
const char *SOURCE = "scale-3";
const struct { int data, clock; } CELLS[] = {{4, 5}, {16, 17}, {18, 19}};

const int CELL_COUNT = sizeof(CELLS) / sizeof(CELLS[0]);
WiFiClient network;
PubSubClient bus(network);
char topic[128], message[512];
long counts[CELL_COUNT];
unsigned long heard_ms[CELL_COUNT];

// 24 bits, most significant first; the 25th pulse asks for channel A with a gain of 128 next.
long read_hx711(int data, int clock) {
  unsigned long bits = 0;
  noInterrupts();  // a clock that stays high for 60 us switches the part off
  for (int pulse = 0; pulse < 25; pulse++) {
    digitalWrite(clock, HIGH);
    delayMicroseconds(1);
    if (pulse < 24) bits = (bits << 1) | digitalRead(data);
    digitalWrite(clock, LOW);
    delayMicroseconds(1);
  }
  interrupts();
  return (bits & 0x800000) ? (long)bits - 0x1000000L : (long)bits;
}

void setup() {
  for (auto &cell : CELLS) {
    pinMode(cell.data, INPUT_PULLUP);
    pinMode(cell.clock, OUTPUT);
    digitalWrite(cell.clock, LOW);
  }
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  bus.setServer(BROKER, 1883);
  bus.setBufferSize(sizeof(topic) + sizeof(message));
  snprintf(topic, sizeof(topic), "linefree/v1/%s/scale/%s/counts", STORE, SOURCE);
}

void loop() {
  if (WiFi.status() != WL_CONNECTED) { delay(100); return; }
  if (!bus.connected() && !bus.connect(SOURCE)) { delay(1000); return; }
  bus.loop();
  bool fresh = false;
  for (int i = 0; i < CELL_COUNT; i++) {
    if (digitalRead(CELLS[i].data) == LOW) {
      counts[i] = read_hx711(CELLS[i].data, CELLS[i].clock);
      heard_ms[i] = millis();
      fresh = true;
    }
  }
  if (!fresh) { delay(1); return; }
  // esp_timer does not wrap after 49 days, as millis() does.
  unsigned long long uptime_ms = esp_timer_get_time() / 1000;
  int length = snprintf(message, sizeof(message), "{\"source\":\"%s\",\"uptime_ms\":%llu,\"counts\":[", SOURCE, uptime_ms);
  for (int i = 0; i < CELL_COUNT; i++) {
    const char *comma = i ? "," : "";
    // A converter that has said nothing for half a second does not answer.
    if (millis() - heard_ms[i] > 500) length += snprintf(message + length, sizeof(message) - length, "%snull", comma);
    else length += snprintf(message + length, sizeof(message) - length, "%s%ld", comma, counts[i]);
  }
  snprintf(message + length, sizeof(message) - length, "]}");
  bus.publish(topic, message);
}
