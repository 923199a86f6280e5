package slacksim

import (
	"math"
	"time"
)

// tier is a class of Slack's rate limits.
type tier int

const (
	tierNone tier = iota // hundreds a minute: not played
	tier2
	tier3
	tier4
	tierPost // about one a second and channel, with short bursts
)

// postBurst is how many messages a channel takes at once.
const postBurst = 4

// perMinute is how many calls of one method a workspace allows in a minute.
func (t tier) perMinute() int {
	switch t {
	case tier2:
		return 20
	case tier3:
		return 50
	case tier4:
		return 100
	default:
		return 0
	}
}

// bucket is the allowance of posts of one channel.
type bucket struct {
	tokens float64
	at     time.Time
}

// overLimit counts the call and says how long to wait when it is one too many.
// A refused call is not counted.
func (s *Server) overLimit(name string, t tier, channel string) time.Duration {
	if !s.o.Limits || t == tierNone {
		return 0
	}
	now := s.o.Now()
	if t == tierPost {
		return s.takePost(channel, now)
	}
	window := s.windows[name]
	for len(window) > 0 && now.Sub(window[0]) >= time.Minute {
		window = window[1:]
	}
	if len(window) >= t.perMinute() {
		s.windows[name] = window
		return time.Minute - now.Sub(window[0])
	}
	s.windows[name] = append(window, now)
	return 0
}

func (s *Server) takePost(channel string, now time.Time) time.Duration {
	b := s.posts[channel]
	if b == nil {
		b = &bucket{tokens: postBurst, at: now}
		s.posts[channel] = b
	}
	b.tokens = math.Min(postBurst, b.tokens+now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(time.Second))
	}
	b.tokens--
	return 0
}
