// The console's own few icons: strokes on a 20 px grid, in the colour of the words beside them.

const PATHS = {
  floor: "M3 5.5 7.5 3.5l5 2 4.5-2v11l-4.5 2-5-2L3 16.5zM7.5 3.5v11M12.5 5.5v11",
  alerts: "M10 3a5 5 0 0 0-5 5v3.5L3.5 14h13L15 11.5V8a5 5 0 0 0-5-5zM8 16.5a2 2 0 0 0 4 0",
  reviews: "M10 17a7 7 0 1 0-7-7c0 1.3.4 2.6 1 3.6L3 17l3.4-1A7 7 0 0 0 10 17zM8 8a2 2 0 1 1 2 2.4v.6M10 13.4v.1",
  receipts: "M5 3h10v14l-2-1.3-1.5 1.3-1.5-1.3L8.5 17 7 15.7 5 17zM7.5 7h5M7.5 10h5",
  stock: "M3 6.5 10 3l7 3.5v7L10 17l-7-3.5zM3 6.5 10 10l7-3.5M10 10v7",
  orders: "M3 4h2l1.5 8.5h8L16.5 6H6M8 16a.8.8 0 1 0 0 .1M14 16a.8.8 0 1 0 0 .1",
  planogram: "M3 3.5v13M17 3.5v13M3 8h14M3 13h14M5.5 5h2.5v3H5.5zM11 10h3v3h-3z",
  insights: "M3 17h14M5.5 14V9M10 14V4M14.5 14V7",
  devices: "M3 6.5h9v7H3zM12 9l5-2.5v7L12 11M6 16.5h3",
  rollout: "M10 3v9M6.5 6.5 10 3l3.5 3.5M4 13v3.5h12V13",
  ops: "M10 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM10 2.5v2.5M10 15v2.5M2.5 10H5M15 10h2.5M4.7 4.7l1.8 1.8M13.5 13.5l1.8 1.8M4.7 15.3l1.8-1.8M13.5 6.5l1.8-1.8",
  config: "M4 3h8l4 4v10H4zM12 3v4h4M7 11h6M7 14h4",
  access: "M7 11.5a3.5 3.5 0 1 1 3.3-4.7L17 7v2.5h-1.5v2H13v-2h-2.7A3.5 3.5 0 0 1 7 11.5zM6.5 8v.1",
  enter: "M3 3h5v5H3zM12 3h5v5h-5zM3 12h5v5H3zM12 12h2v2h-2zM15 15h2v2h-2z",
  basket: "M3 8h14l-1.5 8.5h-11zM7 8l2-4.5M13 8l-2-4.5",
  privacy: "M10 2.5 16 5v4.5c0 4-2.5 6.5-6 8-3.5-1.5-6-4-6-8V5zM7.5 10l2 2 3.5-4",
} as const;
export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
