#!/usr/bin/python3
"""A plain handshake is tunnelled, in every nginx: nothing about it is left to nginx's own code."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frames
from nginx import Nginx
from status import scrape, status
from tap import equal, run, test, until

HTTP = """
    websocket_zone elb:256k;
    log_format state $websocket_state;
"""
SERVER = """
    location = /status { access_log off; websocket_status; }
    location = /metrics { access_log off; websocket_metrics; }
    access_log FOLDER/access.log state;
"""
