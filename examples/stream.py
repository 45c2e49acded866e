"""A video, frame by frame: answers as they come, revisions when later frames know better.

    python examples/stream.py clip.mp4 [--server localhost:50051] [--smoothing-lag 5]

The client acknowledges what it has received, and the server keeps the rest. Where the connection breaks, or a proxy
moves it to another server, the client resumes: each frame is answered once, in order. Restart the server meanwhile and
see.
"""

from __future__ import annotations

import argparse

from exalign_client import Client, TrackFrame, TrackResult, TrackRevision
from exalign_client.pictures.video_files import open_video


def main() -> None:
    """Print a line an event, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--smoothing-lag", type=int, default=5)
    args = parser.parse_args()
    # A picture that the file does not give counts as a frame in which nobody can be seen.
    frames = (
        TrackFrame(picture.pixels, picture.index, picture.media_time, occluded=picture.pixels is None)
        for picture in open_video(args.video)
    )
    with Client(args.server) as client, client.track(frames, smoothing_lag=args.smoothing_lag) as video:
        for event in video:
            match event:
                case TrackResult():
                    states = ", ".join(f"track {t.track_id} {t.state.value}" for t in event.tracks) or "nobody"
                    print(f"frame {event.frame_index}: {states}")
                case TrackRevision():
                    print(f"frame {event.frame_index}: better, now that frame {event.through_frame} is known")
        if video.closed is not None:
            print(video.closed.summary)


if __name__ == "__main__":
    main()
