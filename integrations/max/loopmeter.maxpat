{
 "patcher": {
  "fileversion": 1,
  "appversion": {
   "major": 8,
   "minor": 5,
   "revision": 0,
   "architecture": "x64",
   "modernui": 1
  },
  "classnamespace": "box",
  "rect": [
   60.0,
   80.0,
   680.0,
   600.0
  ],
  "boxes": [
   {
    "box": {
     "id": "t1",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      10,
      520,
      22.0
     ],
     "text": "Loops from the Loopmeter bridge. Start it first: loopmeter bridge --out loops"
    }
   },
   {
    "box": {
     "id": "t2",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      30,
      560,
      22.0
     ],
     "text": "Double-click a message to change it. Answers come to port 9132 (reply_port, and udpreceive below)."
    }
   },
   {
    "box": {
     "id": "send",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      240,
      200,
      22.0
     ],
     "text": "udpsend 127.0.0.1 9130"
    }
   },
   {
    "box": {
     "id": "m1",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      20,
      70,
      520,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "/loopmeter/hello h1 reply_port 9132"
    }
   },
   {
    "box": {
     "id": "m2",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      40,
      100,
      520,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "/loopmeter/balance b1 reply_port 9132"
    }
   },
   {
    "box": {
     "id": "m3",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      60,
      130,
      520,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "/loopmeter/quote q1 \"dusty lo-fi drums\" 92. 4 Am standard reply_port 9132"
    }
   },
   {
    "box": {
     "id": "m4",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      80,
      160,
      520,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "/loopmeter/loop take1 \"dusty lo-fi drums\" 92. 4 Am standard seed 7 max_tokens 2000 reply_port 9132"
    }
   },
   {
    "box": {
     "id": "m5",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      100,
      190,
      520,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "/loopmeter/cancel take1 reply_port 9132"
    }
   },
   {
    "box": {
     "id": "recv",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      290,
      120,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "udpreceive 9132"
    }
   },
   {
    "box": {
     "id": "route",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 4,
     "patching_rect": [
      20,
      320,
      420,
      22.0
     ],
     "outlettype": [
      "",
      "",
      "",
      ""
     ],
     "text": "route /loopmeter/ready /loopmeter/progress /loopmeter/error"
    }
   },
   {
    "box": {
     "id": "ready",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 6,
     "patching_rect": [
      20,
      360,
      160,
      22.0
     ],
     "outlettype": [
      "",
      "",
      "",
      "",
      "",
      ""
     ],
     "text": "unpack s s s i f i"
    }
   },
   {
    "box": {
     "id": "pp",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      200,
      360,
      120,
      22.0
     ],
     "text": "print progress"
    }
   },
   {
    "box": {
     "id": "pe",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      330,
      360,
      120,
      22.0
     ],
     "text": "print error"
    }
   },
   {
    "box": {
     "id": "po",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      460,
      360,
      120,
      22.0
     ],
     "text": "print loopmeter"
    }
   },
   {
    "box": {
     "id": "open",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      20,
      400,
      120,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "prepend open"
    }
   },
   {
    "box": {
     "id": "seq",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 2,
     "patching_rect": [
      20,
      430,
      80,
      22.0
     ],
     "outlettype": [
      "",
      ""
     ],
     "text": "t 1 l"
    }
   },
   {
    "box": {
     "id": "play",
     "maxclass": "newobj",
     "numinlets": 2,
     "numoutlets": 3,
     "patching_rect": [
      20,
      470,
      100,
      22.0
     ],
     "outlettype": [
      "",
      "",
      ""
     ],
     "text": "sfplay~ 2"
    }
   },
   {
    "box": {
     "id": "loop",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      160,
      440,
      60,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "loop 1"
    }
   },
   {
    "box": {
     "id": "lb",
     "maxclass": "newobj",
     "numinlets": 1,
     "numoutlets": 1,
     "patching_rect": [
      160,
      410,
      70,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "loadbang"
    }
   },
   {
    "box": {
     "id": "stop",
     "maxclass": "message",
     "numinlets": 2,
     "numoutlets": 1,
     "patching_rect": [
      240,
      440,
      30,
      22.0
     ],
     "outlettype": [
      ""
     ],
     "text": "0"
    }
   },
   {
    "box": {
     "id": "dac",
     "maxclass": "newobj",
     "numinlets": 2,
     "numoutlets": 0,
     "patching_rect": [
      20,
      510,
      60,
      22.0
     ],
     "text": "dac~"
    }
   },
   {
    "box": {
     "id": "t3",
     "maxclass": "comment",
     "numinlets": 1,
     "numoutlets": 0,
     "patching_rect": [
      20,
      540,
      560,
      22.0
     ],
     "text": "sfplay~ loops the file from disk. For a start on the bar, use a buffer~ and the transport of Live or Max."
    }
   }
  ],
  "lines": [
   {
    "patchline": {
     "source": [
      "m1",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m2",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m3",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m4",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "m5",
      0
     ],
     "destination": [
      "send",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "recv",
      0
     ],
     "destination": [
      "route",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      0
     ],
     "destination": [
      "ready",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      1
     ],
     "destination": [
      "pp",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      2
     ],
     "destination": [
      "pe",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "route",
      3
     ],
     "destination": [
      "po",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "ready",
      1
     ],
     "destination": [
      "open",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "open",
      0
     ],
     "destination": [
      "seq",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "seq",
      1
     ],
     "destination": [
      "play",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "seq",
      0
     ],
     "destination": [
      "play",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "loop",
      0
     ],
     "destination": [
      "play",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "lb",
      0
     ],
     "destination": [
      "loop",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "stop",
      0
     ],
     "destination": [
      "play",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "play",
      0
     ],
     "destination": [
      "dac",
      0
     ]
    }
   },
   {
    "patchline": {
     "source": [
      "play",
      1
     ],
     "destination": [
      "dac",
      1
     ]
    }
   }
  ]
 }
}
