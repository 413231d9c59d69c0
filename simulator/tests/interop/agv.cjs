// A vehicle of vda-5050-lib (Siemens, MIT), driven by our master control. Its own validation of every message that comes
// and goes is left on, as it is by default: what it refuses it says on standard error.
//
// node agv.cjs LIBRARY BROKER MANUFACTURER SERIAL MAP X Y NODE
const [library, brokerUrl, manufacturer, serialNumber, mapId, x, y, lastNodeId] = process.argv.slice(2);
const { AgvController, VirtualAgvAdapter } = require(library);

const vehicle = new AgvController(
  { manufacturer, serialNumber },
  { interfaceName: "uagv", vdaVersion: "2.0.0", transport: { brokerUrl } },
  { agvAdapterType: VirtualAgvAdapter, publishStateInterval: 1000, publishVisualizationInterval: 500 },
  {
    initialPosition: { mapId, x: Number(x), y: Number(y), theta: 0, lastNodeId, positionInitialized: true },
    vehicleSpeed: 2,
    timeLapse: 10,
    tickRate: 40,
  },
);
process.on("unhandledRejection", (error) => {
  console.error("unhandled:", error);
  process.exit(1);
});
vehicle.start().then(() => console.log("started"));
process.stdin.resume();
process.stdin.on("end", () => vehicle.stop().then(() => process.exit(0)));
